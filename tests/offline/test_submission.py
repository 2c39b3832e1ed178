"""The competition's table: every EEG of the test part once, six columns that sum to 1, from one model or a blend."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from apps.train import main
from bci.bundle import find_bundle, load_bundle
from bci.chunk import Chunk
from bci.decision import softmax
from bci.errors import RecordingError, UsageError
from bci.serving import serve
from offline.datasets.hms import CLASSES, VOTES, load_test
from offline.ensemble import read_ensemble
from offline.submission import submission
from tests.offline.datasets.layouts import write_hms, write_hms_eeg

IDS = (907, 31)


def write_test_part(folder: Path, text: str = "") -> None:
    """Write the part without labels, in an order that is not sorted."""
    for i in IDS:
        write_hms_eeg(folder / "test_eegs" / f"{i}.parquet", 50, seed=i)
    rows = "".join(f"1,{i},9\n" for i in IDS)
    (folder / "test.csv").write_text("spectrogram_id,eeg_id,patient_id\n" + rows + text)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Four patients with one EEG each, and two EEGs to predict."""
    folder = write_hms(tmp_path_factory.mktemp("hms"), 4)
    write_test_part(folder)
    return folder


@pytest.fixture(scope="module")
def runs(archive, tmp_path_factory):
    """A model that sees 2 s and one that sees 4 s, and their blend."""
    out = tmp_path_factory.mktemp("runs")
    for window_s in ("2", "4"):
        words = ["run", "--task", "hms", "--data", str(archive), "--model", "mel_cnn", "--epochs", "1"]
        assert main([*words, "--window-s", window_s, "--out", str(out / window_s)]) == 0
    names = [str(out / "2"), str(out / "4")]
    assert main(["oof", *names, "--out", str(out / "oof.csv"), "--blend", str(out / "blend.json")]) == 0
    return out


def table(path: Path) -> tuple[list[str], np.ndarray]:
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["eeg_id", *VOTES]
    return [row[0] for row in rows[1:]], np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])


def test_one_model_predicts_what_it_would_live(archive, runs, tmp_path, capsys):
    words = ["submit", str(runs / "2" / "bundle"), "--data", str(archive), "--out", str(tmp_path / "submission.csv")]
    assert main(words) == 0
    assert "2 rows: " in capsys.readouterr().out
    ids, found = table(tmp_path / "submission.csv")
    assert ids == [str(i) for i in IDS]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-8)
    served = serve(str(runs / "2" / "bundle"), "eager")
    for session, row in zip(load_test(archive).sessions, found, strict=True):
        data = session.read()
        predictions = served.decoder().push(Chunk(data, 0, np.arange(data.shape[1]) / 200))
        assert len(predictions) == 1 + 4 * 48  # four a second, the first after 2 s
        np.testing.assert_allclose(predictions[4 * 20].probabilities, row, atol=1e-6)  # of 20 to 22 s


def test_several_are_averaged(archive, runs, tmp_path):
    bundles = [str(runs / name / "bundle") for name in ("2", "4")]
    each = []
    for i, bundle in enumerate(bundles):
        assert submission([bundle], archive, tmp_path / f"{i}.csv") == len(IDS)
        each.append(table(tmp_path / f"{i}.csv")[1])
    submission(bundles, archive, tmp_path / "mean.csv")
    np.testing.assert_allclose(table(tmp_path / "mean.csv")[1], np.mean(each, axis=0), atol=1e-8)


def test_a_blend_gets_probabilities_of_the_temperature_that_it_was_fitted_to(archive, runs, tmp_path):
    """That of the folds, not that of the bundle: a blend of one alone is the bundle's logits at it, with the bias."""
    found = read_ensemble(runs / "blend.json")
    logs = []
    for name, member in zip(("2", "4"), found.members, strict=True):
        folds = [json.loads(path.read_text()) for path in (runs / name / "folds").glob("*.json")]
        assert member.temperature == pytest.approx(np.median([fold["temperature"] for fold in folds]))
        bundle = runs / name / "bundle"
        assert load_bundle(bundle).decision.temperature != pytest.approx(member.temperature, rel=1e-3)
        submission([str(bundle)], archive, tmp_path / "x.csv")
        logs.append(np.log(table(tmp_path / "x.csv")[1]) * load_bundle(bundle).decision.temperature)
    expected = found.blend(
        np.stack([softmax(log, member.temperature) for log, member in zip(logs, found.members, strict=True)])
    )
    bundles = [str(runs / name / "bundle") for name in ("4", "2")]
    submission(bundles, archive, tmp_path / "blend.csv", blend=runs / "blend.json")
    np.testing.assert_allclose(table(tmp_path / "blend.csv")[1], expected, atol=1e-6)


def test_oof_votes_are_those_of_the_experts(runs):
    rows = list(csv.DictReader((runs / "oof.csv").read_text().splitlines()))
    assert [row["run"] for row in rows] == ["2"] * 4 + ["4"] * 4
    for row in rows:
        votes = [float(row[f"vote_{name}"]) for name in CLASSES]
        assert votes == [3.0 * (k == int(row["session"])) + 1 for k in range(6)]
    assert {row["start"] for row in rows} == {"4000"}


def test_eegs_that_cannot_be_used(archive, runs, tmp_path):
    for name in ("train.csv", "train_eegs"):
        (tmp_path / name).symlink_to(archive / name)
    write_test_part(tmp_path, "1,55,9\n")
    bundle, out = str(runs / "2" / "bundle"), tmp_path / "submission.csv"
    with pytest.raises(
        RecordingError, match=r"needs every EEG of test\.csv, one cannot be used: test_eegs/55\.parquet: The"
    ):
        submission([bundle], tmp_path, out)
    assert submission([bundle], tmp_path, out, skip_bad=True) == 2
    path = tmp_path / "test_eegs" / "31.parquet"
    data = bytearray(path.read_bytes())
    data[4:64] = b"\xff" * 60  # the head of the first page
    path.write_bytes(data)
    assert submission([bundle], tmp_path, out, skip_bad=True) == 1
    assert table(out)[0] == ["907"]
    shutil.copy(path, tmp_path / "test_eegs" / "907.parquet")
    with pytest.raises(
        RecordingError, match=r"submission needs at least one EEG that can be read, got none of 2\. Fetch"
    ):
        submission([bundle], tmp_path, out, skip_bad=True)
    with pytest.raises(UsageError, match=r"submission needs a file that can be written, got .*absent.* \(No such file"):
        submission([bundle], archive, tmp_path / "absent" / "x.csv")


def test_models_of_something_else_are_refused(archive, runs, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"models of the classes seizure, lpd, .*seizure-demo has .* for the task hms"):
        submission(["seizure-demo"], archive, tmp_path / "x.csv")
    bundle = str(runs / "2" / "bundle")
    with pytest.raises(
        UsageError, match=r"blend\.json needs the bundles of its runs, 2 \(.*, 4 \(.*Name each RUN/bundle"
    ):
        submission([bundle], archive, tmp_path / "x.csv", blend=runs / "blend.json")
    of_demo = load_bundle(find_bundle("seizure-demo")).decision.classes
    monkeypatch.setattr("offline.submission.CLASSES", of_demo)
    with pytest.raises(
        UsageError, match=r"models of 19 channels at 200 Hz in uV, Fp1, F3, C3 and so on; .*at 256 Hz in"
    ):
        submission(["seizure-demo"], archive, tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.real
def test_real_segments(data_dir, runs, tmp_path):
    """Labelled segments as a test part: every one gets its row."""
    (tmp_path / "test_eegs").symlink_to(data_dir / "icu-hms" / "train_eegs")
    rows = list(csv.DictReader((data_dir / "icu-hms" / "train.csv").read_text().splitlines()))
    lines = [f"{row['spectrogram_id']},{row['eeg_id']},{row['patient_id']}" for row in rows]
    (tmp_path / "test.csv").write_text("\n".join(["spectrogram_id,eeg_id,patient_id", *lines]) + "\n")
    bundles = [str(runs / name / "bundle") for name in ("2", "4")]
    assert submission(bundles, tmp_path, tmp_path / "submission.csv", blend=runs / "blend.json") == 12
    ids, found = table(tmp_path / "submission.csv")
    assert ids == [row["eeg_id"] for row in rows]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-8)
