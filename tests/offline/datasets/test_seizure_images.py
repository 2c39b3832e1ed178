"""Images in folds and raw segments: every layout, read by index, and what is said of rows and files that do not fit."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.io

from bci.errors import RecordingError, UsageError
from offline.datasets import seizure_images, seizure_segments, unpacked
from offline.datasets.registry import load_dataset, load_examples
from tests.offline.datasets.image_layout import (
    LAYOUTS,
    LOWER,
    PLAIN,
    UPPER,
    N,
    made_fold,
    write_folds,
    write_matlab,
    write_segments,
)
from tests.offline.datasets.layouts import REMEDY

ARRAYS = {
    "mel upper": ((12, 10, 3), np.float16),
    "cwt upper": ((12, 10, 3), np.float16),
    "stft upper": ((12, 10, 3), np.float16),
    "mel lower": ((12, 10, 3), np.float32),
    "cwt lower": ((12, 10, 3), np.float64),
    "stft lower": ((12, 10, 3), np.uint8),
    "plain": ((10, 11, 20), np.float64),
}


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_folds_are_read_in_each_layout(tmp_path, kind):
    (images, names, word), (shape, dtype) = LAYOUTS[kind], ARRAYS[kind]
    folds = {k: made_fold(k, shape, dtype) for k in range(1, 6)}
    folder = write_folds(tmp_path / "a", names, word, folds)
    examples = load_examples(f"seizure-images-{images}", folder)
    assert not examples.problems
    assert len(examples) == 5 * N
    assert examples.shape == (shape[2], shape[0], shape[1])
    np.testing.assert_array_equal(examples.labels, np.concatenate([fold[1] for fold in folds.values()]))
    assert examples.subjects == tuple(np.concatenate([fold[2] for fold in folds.values()]).tolist())
    np.testing.assert_array_equal(examples.folds, np.repeat([1, 2, 3, 4, 5], N))
    some = np.array([29, 0, 7, 7, 13])
    got = examples.read(some)
    assert got.dtype == np.float32
    want = np.concatenate([fold[0] for fold in folds.values()])[some].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(got, want.astype(np.float32))
    assert examples.read(np.array([], np.int64)).shape == (0, *examples.shape)
    assert examples.files[-1].name == names[0].format(word, 5)
    np.testing.assert_array_equal(examples.rows, np.tile(np.arange(N), 5))
    np.testing.assert_array_equal(examples.counts(), np.bincount(examples.labels, minlength=3))


def test_only_the_rows_asked_for_are_read(tmp_path):
    """The folds stay on disk."""
    folder = write_folds(tmp_path / "a", PLAIN, "", {1: made_fold(1)})
    examples = load_examples("seizure-images-eeg", folder)
    assert all(isinstance(fold.data, np.memmap) for fold in examples.read._folds)


@pytest.mark.parametrize("has_patients", [False, True])
def test_ten_folds_of_a_matlab_file(tmp_path, has_patients):
    folds = [made_fold(k, (6, 5, 3), np.uint8) for k in range(1, 11)]
    if has_patients:
        folds = [(data, labels, np.arange(N) + 10 * k) for k, (data, labels, _) in enumerate(folds)]
    folder = write_matlab(tmp_path / "a", folds, patients=has_patients)
    examples = load_examples("seizure-images-matlab", folder)
    assert not examples.problems
    assert len(examples) == 60
    assert examples.subjects[-1] == ("95" if has_patients else "fold-10")
    np.testing.assert_array_equal(examples.read(np.array([59]))[0], folds[9][0][5].transpose(2, 0, 1))
    np.testing.assert_array_equal(examples.labels[-6:], folds[9][1])


def test_a_matlab_file_is_unpacked_once(tmp_path, monkeypatch):
    folder = write_matlab(tmp_path / "a", [made_fold(1, (6, 5, 3)), made_fold(2, (6, 5, 3))])
    first = load_examples("seizure-images-matlab", folder)
    monkeypatch.setattr(scipy.io, "loadmat", None)
    again = load_examples("seizure-images-matlab", folder)
    np.testing.assert_array_equal(first.read(np.arange(12)), again.read(np.arange(12)))
    assert isinstance(again.read._folds[0].data, np.memmap)


def _damage(folder):
    path = folder / "labels_fold_2.npy"
    path.write_bytes(path.read_bytes()[:-8])


def _objects(folder):
    np.save(folder / "patients_fold_2.npy", np.array(["a", 1, None, 2, 3, 4], object), allow_pickle=True)


def _change(part, row, value):
    def change(folder):
        path = folder / f"{part}_fold_2.npy"
        array = np.load(path)
        array[row] = value
        np.save(path, array)

    return change


def _replace(part, array):
    return lambda folder: np.save(folder / f"{part}_fold_2.npy", array)


IMAGES = {
    "missing": (
        lambda f: (f / "patients_fold_2.npy").unlink(),
        6,
        r"The file patients_fold_2\.npy of the fold is missing",
    ),
    "cut": (_damage, 6, r"labels_fold_2\.npy must be a whole file of numpy\.save, it cannot be read"),
    "objects": (
        _objects,
        6,
        r"patients_fold_2\.npy must be a whole file of numpy\.save, it cannot be read: .*objects in dtype",
    ),
    "unequal": (
        _replace("labels", np.zeros(5)),
        6,
        r"same number of rows, got 6 in eeg_fold_2\.npy, 5 in labels_fold_2\.npy, 6 in patients_fold_2\.npy\. Leave",
    ),
    "empty": (_replace("labels", np.zeros(())), 6, r"same number of rows, got 6 in eeg_fold_2\.npy, 0 in labels"),
    "one-hot": (
        _replace("labels", np.eye(3)[[0, 1, 2, 0, 1, 2]]),
        6,
        r"labels_fold_2\.npy must hold one value for each image, got float64 \(6, 3\)\. Save class numbers",
    ),
    "label": (_change("labels", 3, 7), 11, r"labels_fold_2\.npy, row 3: a label must be 0, 1 or 2, got 7"),
    "patient": (
        _change("patients", 4, "\x1b"),
        11,
        r"patients_fold_2\.npy, row 4: a patient must have a plain name, got",
    ),
    "flat": (
        _replace("eeg", np.zeros((6, 10, 11))),
        6,
        r"eeg_fold_2\.npy must hold numbers of shape .* got float64 \(6, 10",
    ),
    "shape": (
        _replace("eeg", np.zeros((6, 10, 9, 20))),
        6,
        r"eeg_fold_2\.npy: images must have the shape \(10, 11, 20\) like most, got \(10, 9, 20\)\. Leave the fold",
    ),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_folds_and_rows_that_cannot_be_used_are_listed(tmp_path, kind):
    spoil, n_left, reason = IMAGES[kind]
    folder = write_folds(tmp_path / "a", PLAIN, "", {1: made_fold(1), 2: made_fold(2)})
    spoil(folder)
    examples = seizure_images.load(folder, "eeg")
    assert len(examples) == n_left
    assert len(examples.problems) == 1
    assert re.search(reason, examples.problems[0].reason), examples.problems[0].reason


def test_rows_after_one_that_is_left_out_keep_their_data(tmp_path):
    folds = {1: made_fold(1), 2: made_fold(2)}
    folds[1][1][2] = 9
    examples = seizure_images.load(write_folds(tmp_path / "a", PLAIN, "", folds), "eeg")
    assert examples.rows.tolist() == [0, 1, 3, 4, 5, 0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(examples.read(np.array([2]))[0], folds[1][0][3].transpose(2, 0, 1).astype("f4"))
    np.testing.assert_array_equal(examples.read(np.array([5]))[0], folds[2][0][0].transpose(2, 0, 1).astype("f4"))


def test_folders_that_cannot_be_used(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(RecordingError, match=r"seizure-images-mel needs MEL_DATA_FOLD_fold_k\.npy or mel_data_fold_k"):
        seizure_images.load(folder, "mel")
    with pytest.raises(RecordingError, match=r"seizure-images-matlab needs folds_data_concat\.mat, found no"):
        seizure_images.load(folder, "matlab")
    for names, word in ((UPPER, "MEL"), (LOWER, "mel")):
        write_folds(folder, names, word, {1: made_fold(1)})
    with pytest.raises(
        RecordingError, match=r"one layout of a set, .* has MEL_DATA_FOLD_fold_1\.npy and mel_data_fold_1"
    ):
        seizure_images.load(folder, "mel")
    with pytest.raises(UsageError, match=r"No archive of examples is named 'ssvep'\. There are: seizure-images-mel"):
        load_examples("ssvep", folder)
    with pytest.raises(UsageError, match=r"examples of seizure-images-mel must be in a folder, got .*absent, which"):
        load_examples("seizure-images-mel", tmp_path / "absent")


def test_matlab_files_that_cannot_be_used(tmp_path):
    path = tmp_path / "folds_data_concat.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file" * 20)
    with pytest.raises(RecordingError, match=r"folds_data_concat\.mat must be a MATLAB file before version 7\.3, it"):
        seizure_images.load(tmp_path, "matlab")
    scipy.io.savemat(path, {"data": np.zeros((3, 3)), "labels": np.zeros(3)})
    with pytest.raises(
        RecordingError, match=r"cell arrays data and labels with one cell per fold, got data \(3, 3\), labels"
    ):
        seizure_images.load(tmp_path, "matlab")
    folds = [made_fold(1, (6, 5, 3)), made_fold(2, (6, 5, 3))]
    write_matlab(tmp_path, [folds[0], (folds[1][0], folds[1][1][:3], folds[1][2])])
    problems = seizure_images.load(tmp_path, "matlab").problems
    assert re.search(
        r"same number of rows, got 6 in folds_data_concat\.mat, fold 2: data, 3 in .*labels", problems[0].reason
    )


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    folder = write_matlab(tmp_path / "a", [made_fold(1, (6, 5, 3))])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RecordingError, match=r"arrays of folds_data_concat\.mat need room in .* Set XDG_CACHE_HOME"):
        load_examples("seizure-images-matlab", folder)


def test_who_unpacks_second_takes_what_is_there(tmp_path):
    path = tmp_path / "a"
    path.write_text("x")

    def read():
        unpacked.unpacked(path, lambda: {"a": np.arange(3)})  # another process is faster
        return {"a": np.arange(3)}

    np.testing.assert_array_equal(unpacked.unpacked(path, read)["a"], [0, 1, 2])
    assert [p.name[:1] for p in unpacked.cache_folder().iterdir()] != ["."]


# --- raw segments


FORMS = {
    "channels first": lambda x: x,
    "time first": lambda x: x.transpose(0, 2, 1),
    "one more axis": lambda x: x.transpose(0, 2, 1)[:, None],
    "list": lambda x: list(x),
    "doubles": lambda x: x.astype(np.float64),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", [2, 5])
def test_segments_are_sessions(tmp_path, form, protocol):
    data = np.random.default_rng(1).standard_normal((3, 20, 5120)).astype(np.float32)
    write_segments(tmp_path, data=FORMS[form](data), protocol=protocol)
    dataset = load_dataset("seizure-segments", tmp_path)
    assert not dataset.problems
    assert dataset.subjects == ("patient-4", "patient-7")
    assert [s.stretches[0].label for s in dataset.sessions] == [0, 2, 1]
    np.testing.assert_array_equal(dataset.sessions[1].read(), data[1])
    np.testing.assert_array_equal(dataset.sessions[2].read(100, 200), data[2][:, 100:200])


def _nan(x):
    x[1, 3, 4] = np.nan
    return x


SEGMENT_ROWS = {
    "label": ({"labels": [0, 5, 1]}, r"labels\.pkl, row 1: a label must be 0, 1 or 2, got 5"),
    "word": ({"labels": [0, "1", 1]}, r"labels\.pkl, row 1: a label must be 0, 1 or 2, got '1'"),
    "patient": (
        {"patients": ["4", "../x", "7"]},
        r"patients\.pkl, row 1: a patient must have a plain name, got '\.\./x'",
    ),
    "finite": ({"data": _nan(np.zeros((3, 20, 5120)))}, r"data\.pkl, row 1: a segment must hold finite samples"),
}


@pytest.mark.parametrize("kind", SEGMENT_ROWS)
def test_segments_that_cannot_be_used_are_listed(tmp_path, kind):
    values, reason = SEGMENT_ROWS[kind]
    write_segments(tmp_path, **values)
    dataset = seizure_segments.load(tmp_path)
    assert [s.name for s in dataset.sessions] == ["segment-00000", "segment-00002"]
    assert len(dataset.problems) == 1
    assert re.search(reason, dataset.problems[0].reason)
    assert REMEDY.search(dataset.problems[0].reason)


SEGMENTS = {
    "length": ({"labels": [0, 1]}, r"same number of rows, got 3 in data\.pkl, 2 in labels\.pkl and 3 in patients\.pkl"),
    "shape": ({"data": np.zeros((3, 20, 100))}, r"segments of 20 channels and 5120 samples, got \(3, 20, 100\)"),
    "shapes": ({"data": [np.zeros(3), np.zeros(4)]}, r"data\.pkl must hold segments of one shape, it does not"),
    "number": ({"labels": 3}, r"labels\.pkl must hold an array or a list, got a int"),
    "nothing": ({"labels": [7, 8, 9]}, r"needs at least one usable row, got none of 3\. First: labels\.pkl, row 0"),
    "program": ({"labels": np.load}, r"labels\.pkl must be a pickle of arrays, lists and numbers, .* asks for numpy"),
}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_segments_that_are_refused(tmp_path, kind):
    values, reason = SEGMENTS[kind]
    write_segments(tmp_path, **values)
    with pytest.raises(RecordingError, match=reason) as caught:
        seizure_segments.load(tmp_path)
    assert kind == "program" or REMEDY.search(str(caught.value))


def test_segments_that_are_missing(tmp_path):
    write_segments(tmp_path)
    (tmp_path / "labels.pkl").unlink()
    with pytest.raises(RecordingError, match=r"needs data\.pkl, labels\.pkl, patients\.pkl, .* lacks labels\.pkl"):
        seizure_segments.load(tmp_path)
