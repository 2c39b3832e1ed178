"""Out-of-fold tables and blends of finished runs, from the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.train import main
from bci.decision import softmax
from bci.errors import SchemaError, UsageError
from offline.classification import divergences
from offline.ensemble import ensemble, read_ensemble
from offline.oof import read_run, write_table
from offline.people import arranged, figures
from tests.offline.toy_task import N_TRIALS, TRIAL, install

WORDS = ["--task", "toy", "--model", "eegnet", "--window-s", "0.5", "--batch-size", "4"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on the same people: a long one and a short one."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        install(patch, 3, votes=True)
        for name, epochs in (("a", "3"), ("b", "1")):
            assert main(["run", *WORDS, "--out", str(folder / name), "--epochs", epochs]) == 0
    return folder


@pytest.fixture(autouse=True)
def toy(monkeypatch, tmp_path):
    install(monkeypatch, 3, votes=True)
    monkeypatch.chdir(tmp_path)


def test_a_table_has_every_scored_stretch(runs, capsys):
    assert main(["oof", str(runs / "a"), str(runs / "b"), "--out", "oof.csv"]) == 0
    assert f"{2 * 3 * N_TRIALS} predictions of 2 runs: oof.csv" in capsys.readouterr().out
    rows = list(csv.DictReader(Path("oof.csv").read_text().splitlines()))
    assert [row["run"] for row in rows] == ["a"] * 24 + ["b"] * 24
    fold = json.loads((runs / "a" / "folds" / "sub-02.json").read_text())
    of_fold = [row for row in rows if row["run"] == "a" and row["fold"] == "sub-02"]
    assert {row["subject"] for row in of_fold} == {"sub-02"}
    assert [("quiet", "loud").index(row["label"]) for row in of_fold] == fold["labels"]
    assert [int(row["start"]) for row in of_fold] == [TRIAL * i for i in range(N_TRIALS)]
    want = softmax(np.array(fold["logits"]), fold["temperature"])
    got = [[float(row["p_quiet"]), float(row["p_loud"])] for row in of_fold]
    np.testing.assert_allclose(got, want, atol=1e-8)
    assert (of_fold[0]["vote_quiet"], of_fold[3]["vote_quiet"], of_fold[3]["vote_loud"]) == ("", "1", "9")


def test_runs_are_blended_and_judged_fold_by_fold(runs, capsys):
    words = ["oof", str(runs / "a"), str(runs / "b"), "--out", "oof.csv", "--blend", "blend.json"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "24 stretches of 3 people" in said
    assert "blend, each fold by weights of the others: " in said
    found = read_ensemble(Path("blend.json"))
    assert [member.run for member in found.members] == ["a", "b"]
    assert all(len(member.bundle_sha256) == 64 for member in found.members)
    both = [read_run(runs / name) for name in "ab"]
    assert found == ensemble(both)
    assert found.members[0].loss.mean == pytest.approx(divergences(both[0].targets, both[0].probabilities).mean())
    rows = [arranged(run.rows, run.labels, run.probabilities) for run in both]
    alone = figures(rows[:1], both[0].classes, 0)["kl"]
    assert [found.members[0].loss.low, found.members[0].loss.high] == pytest.approx(alone["interval"])
    assert found.blend_loss.low <= found.blend_loss.mean <= found.blend_loss.high
    assert found.gain.mean == pytest.approx(min(m.loss.mean for m in found.members) - found.blend_loss.mean)


def test_only_stretches_with_enough_votes_count(runs):
    run = read_run(runs / "a")
    found = ensemble([run], least_votes=8)
    assert found.n_rows == 3 * 3, "stretches 3, 5 and 7 of each person"
    with pytest.raises(UsageError, match=r"stretches with at least 99 votes, the most that one has is 22\. Lower"):
        ensemble([run], least_votes=99)


def test_folds_in_time_are_set_apart_by_person(runs):
    run = read_run(runs / "a")
    assert run.groups == run.folds
    folds = tuple(f"{row.subject}-{i % 2}" for i, row in enumerate(run.rows))
    assert replace(run, folds=folds).groups == tuple(row.subject for row in run.rows)


def test_splits_in_time_have_a_table():
    assert main(["run", *WORDS, "--out", "t", "--epochs", "1", "--split", "temporal", "--n-folds", "2"]) == 0
    run = read_run(Path("t"))
    first = [
        (row.start // TRIAL, fold) for row, fold in zip(run.rows, run.folds, strict=True) if row.subject == "sub-01"
    ]
    assert first == [(4, "sub-01-1"), (5, "sub-01-1"), (6, "sub-01-2"), (7, "sub-01-2")]


def test_runs_that_do_not_fit_each_other_are_refused(runs):
    run = read_run(runs / "a")
    for change in ({"data": {}}, {"classes": ("a", "b")}, {"rows": run.rows[:-1], "folds": run.folds[:-1]}):
        with pytest.raises(UsageError, match=r"the same stretches for the same classes, a and c did not\. Train them"):
            ensemble([run, replace(run, run="c", **change)])
    with pytest.raises(
        UsageError, match=r"runs with the same folds, those of a and c differ\. Train them with the same"
    ):
        ensemble([run, replace(run, run="c", folds=("x",) * 24)])
    with pytest.raises(
        UsageError, match=r"A table needs runs for the same classes, c has a, b beside quiet, loud\. Write"
    ):
        write_table([run, replace(run, run="c", classes=("a", "b"))], Path("oof.csv"))
    assert not Path("oof.csv").exists()


@pytest.fixture
def copy(runs, tmp_path):
    """A run that can be spoilt."""
    (tmp_path / "copy" / "folds").mkdir(parents=True)
    for name in ("run.json", "metrics.json", *(f"folds/sub-0{i}.json" for i in (1, 2, 3))):
        (tmp_path / "copy" / name).write_bytes((runs / "a" / name).read_bytes())
    return tmp_path / "copy"


def test_folders_without_a_finished_run_are_refused(copy):
    assert read_run(copy).bundle_sha256 is None
    fold = copy / "folds" / "sub-02.json"
    record = json.loads(fold.read_text())
    fold.write_text(json.dumps(record | {"split": record["split"] | {"train": ["sub-07"]}}))
    with pytest.raises(UsageError, match=r"that the run's figures are of, .*copy has another one for sub-02\. Train"):
        read_run(copy)
    fold.write_text("{")
    with pytest.raises(SchemaError, match=r"sub-02\.json is damaged"):
        read_run(copy)
    fold.unlink()
    with pytest.raises(
        UsageError, match=r"need a finished run with folds, .*copy holds none \(FileNotFoundError: .*Name"
    ):
        read_run(copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["folds"][0]["test"] = ["../../sub-01"]
    (copy / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(UsageError, match=r"holds none \(ValueError: \.\./\.\./sub-01\.json is no name of a file"):
        read_run(copy)
    (copy / "metrics.json").write_text('{"folds": []}')
    with pytest.raises(UsageError, match=r"need a finished run with folds, .*copy holds none \(KeyError: 'scores'\)"):
        read_run(copy)


def test_files_that_cannot_be_written_or_read(runs, tmp_path, capsys):
    run = read_run(runs / "a")
    with pytest.raises(UsageError, match=r"The table needs a file that can be written, got .*oof\.csv \(No such file"):
        write_table([run], tmp_path / "absent" / "oof.csv")
    words = ["oof", str(runs / "a"), "--out", "oof.csv"]
    assert main([*words, "--blend", "absent/blend.json"]) == 2
    assert capsys.readouterr().err.startswith("bci-train: error: The blend needs a file in a folder that can be")
    assert main(["oof", str(runs / "a"), "--out", "absent/oof.csv", "--blend", "blend.json"]) == 2
    assert not Path("oof.csv").exists()
    assert not Path("blend.json").exists()
    assert main([*words, "--blend", "../x/../" + tmp_path.name + "/oof.csv"]) == 2
    assert "The table and the blend need a file each, got oof.csv for both. Change --blend." in capsys.readouterr().err
    assert main(["oof", str(runs / "a"), str(runs / "a"), "--out", "oof.csv"]) == 2
    assert main([*words, "--votes", "3"]) == 2
    assert "--votes chooses what a blend is fitted to, got no blend. Pass --blend." in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"The blend needs a file of bci-train oof, got .*nothing\.json \(No such"):
        read_ensemble(tmp_path / "nothing.json")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(
        SchemaError, match=r"x\.json must be a blend that bci-train oof wrote, it is not: A blend needs"
    ):
        read_ensemble(tmp_path / "x.json")
    assert main([*words, "--blend", "blend.json"]) == 0
    record = json.loads(Path("blend.json").read_text())
    cold = record | {"members": [record["members"][0] | {"temperature": 0.0}]}
    (tmp_path / "x.json").write_text(json.dumps(cold))
    with pytest.raises(SchemaError, match=r"it is not: .*A run in a blend needs a temperature above 0, got 0\. Blend"):
        read_ensemble(tmp_path / "x.json")
    record["blend"]["weights"] = [0.5, 0.5]
    (tmp_path / "x.json").write_text(json.dumps(record))
    with pytest.raises(
        SchemaError, match=r"blend of schema 1 with a weight for each of 1 members and a bias for each of"
    ):
        read_ensemble(tmp_path / "x.json")
