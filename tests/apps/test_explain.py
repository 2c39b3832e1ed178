"""`bci explain` on the shipped bundle: pictures, arrays and the check against a randomised network."""

from __future__ import annotations

import json

import mne
import numpy as np
import pytest

from apps.cli import main
from bci.bundle import find_bundle, load_bundle
from bci.errors import UsageError
from offline.explanations import check_methods


def write_fif(path, data_uv, sfreq, names):
    info = mne.create_info(list(names), sfreq, "eeg")
    mne.io.RawArray(1e-6 * data_uv, info, verbose="error").save(path, verbose="error")
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    signal = load_bundle(find_bundle("seizure-demo")).pipeline.signal
    data = np.random.default_rng(0).normal(0.0, 20.0, (signal.n_channels, 40 * 256)).astype(np.float32)
    return write_fif(tmp_path_factory.mktemp("explain") / "noise_raw.fif", data, signal.sfreq, signal.names)


def test_pictures_arrays_and_the_check_are_written(recording, tmp_path, capsys):
    out = tmp_path / "why"
    methods = ["--method", "saliency", "--method", "grad-cam"]
    assert main(["explain", "seizure-demo", str(recording), "--out", str(out), "--windows", "6", *methods]) == 0
    said = capsys.readouterr().out
    assert "rank correlation with a randomised network" in said
    names = {path.name for path in out.iterdir()}
    assert names == {"saliency.png", "saliency.npz", "grad-cam.png", "grad-cam.npz", "explanation.json"}
    record = json.loads((out / "explanation.json").read_text())
    assert sum(record["windows"].values()) == 6
    assert set(record["similarity_to_randomised"]) == {"saliency", "grad-cam"}
    for method in ("saliency", "grad-cam"):
        for shares in record["channel_shares"][method].values():
            assert sum(shares) == pytest.approx(1.0)
    assert record["map_cells"] == {"saliency": None, "grad-cam": [5, 4]}
    assert "grad-cam: map of 5 × 4 cells, spread;" in said
    assert (out / "saliency.png").read_bytes().startswith(b"\x89PNG")
    with np.load(out / "grad-cam.npz", allow_pickle=False) as arrays:
        (view,) = record["views"]
        assert arrays["class_0"].shape == (len(view["frequencies_hz"]), len(view["times_s"]))
    assert main(["explain", "seizure-demo", str(recording), "--out", str(out)]) == 2
    assert "needs a new folder" in capsys.readouterr().err
    assert not list(tmp_path.glob(".explain-*"))


def test_several_files_are_explained_for_a_class_that_is_never_predicted(recording, tmp_path, capsys):
    signal = load_bundle(find_bundle("seizure-demo")).pipeline.signal
    other = np.random.default_rng(1).normal(0.0, 20.0, (signal.n_channels, 12 * 256)).astype(np.float32)
    second = write_fif(tmp_path / "b_raw.fif", other, signal.sfreq, signal.names)
    out = tmp_path / "why"
    options = ["--out", str(out), "--windows", "3", "--method", "saliency", "--class", "seizure"]
    assert main(["explain", "seizure-demo", str(recording), str(second), str(recording), *options]) == 0
    assert capsys.readouterr().out.startswith("seizure: mean of all 6 windows of 2 files; each file weighs the same.\n")
    record = json.loads((out / "explanation.json").read_text())
    assert record["title"] == "seizure-demo on 2 files"
    assert (record["windows"], record["files"]) == ({"seizure": 6}, {"seizure": 2})
    assert record["only_predicted"] == {"seizure": False}


def test_wrong_use_is_one_line_and_leaves_nothing(recording, tmp_path, capsys):
    out = str(tmp_path / "why")
    for arguments, line in (
        (["--method", "magic"], "There is no method 'magic'"),
        (["--windows", "0"], "--windows must be at least 1, got 0"),
        (["--class", "nap"], "There is no class 'nap' in this bundle. Classes: background, seizure."),
        (["--method", "roll-out"], "Roll-out needs a network whose tokens"),
    ):
        assert main(["explain", "seizure-demo", str(recording), "--out", out, *arguments]) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert line in said
    nowhere = str(tmp_path / "no" / "why")
    assert main(["explain", "seizure-demo", str(recording), "--out", nowhere, "--windows", "2"]) == 2
    assert "--out needs a folder that can be written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_short_recording_and_unknown_methods_are_refused(tmp_path, capsys):
    signal = load_bundle(find_bundle("seizure-demo")).pipeline.signal
    short = write_fif(tmp_path / "s_raw.fif", np.ones((signal.n_channels, 256), np.float32), 256.0, signal.names)
    assert main(["explain", "seizure-demo", str(short), "--out", str(tmp_path / "why")]) == 1
    assert "must hold at least one window" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"There is no method 'x' of explanation"):
        check_methods(("x",))
