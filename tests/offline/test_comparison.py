"""Runs on the same folds side by side, and what must not be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from apps.train import main
from bci.errors import UsageError
from offline.comparison import compare_runs, comparison_lines
from offline.oof import read_run
from tests.offline.scored_people import patients, scored_folds, write_run


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Folders of a weak and of a strong model, each with two seeds that deal people differently."""
    monkeypatch.chdir(tmp_path)
    people = patients()
    for model, strength in (("weak", 0.3), ("strong", 3.0)):
        for seed in (0, 1):
            write_run(Path(f"{model}-{seed}"), model, scored_folds(people, strength, seed, deal=seed), seed)
    return people


def test_the_first_run_is_what_others_gain_over(runs, capsys):
    assert main(["compare", "weak-0", "strong-0", "--json", "all.json"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("toy: 95 % percentile bootstrap over 12 people")
    assert "| 12 people, mean of their stretches | AUROC" in said
    assert "| gain over weak (weak-0), paired | AUROC of people" in said
    found = json.loads(Path("all.json").read_text())
    weak, strong = found["runs"]
    assert weak["gains"] is None
    for level in ("people", "stretches"):
        gain = strong["gains"][level]["auroc"]
        assert gain["value"] == pytest.approx(
            strong["figures"][level]["auroc"]["value"] - weak["figures"][level]["auroc"]["value"]
        )
        assert gain["interval"][0] > 0
    again = compare_runs([Path("weak-0"), Path("strong-0")])
    assert json.loads(json.dumps(again)) == found, "the seed is fixed"


def test_seeds_of_the_same_settings_are_averaged(runs):
    both = compare_runs([Path(name) for name in ("weak-0", "strong-1", "weak-1", "strong-0")])
    assert [run["seeds"] for run in both["runs"]] == [[0, 1], [0, 1]]
    assert both["runs"][1]["name"] == "strong (strong-0 and 1 more)"
    single = [compare_runs([Path(f"strong-{seed}")])["runs"][0]["figures"] for seed in (0, 1)]
    for level in ("people", "stretches"):
        values = [figures[level]["kl"]["value"] for figures in single]
        assert both["runs"][1]["figures"][level]["kl"]["value"] == pytest.approx(sum(values) / 2)
    assert "Mean figures of repeats with the seeds 0, 1." in comparison_lines(both)


def test_runs_on_votes_gain_in_divergence_and_by_stretches_with_enough_of_them(runs, capsys):
    for name, strength in (("few", 0.3), ("many", 3.0)):
        folds = [
            replace(fold, scored=tuple(replace(row, n_votes=float(3 * (i % 4))) for i, row in enumerate(fold.scored)))
            for fold in scored_folds(runs, strength)
        ]
        write_run(Path(name), name, tuple(folds))
    assert main(["compare", "few", "many", "--votes", "4", "--json", "all.json"]) == 0
    said = capsys.readouterr().out
    assert "Only stretches with at least 4 votes.\n" in said
    assert "| 24 stretches" in said, "two of four"
    assert "KL of stretches" in said
    assert "KL falls as a model gets better: there, a gain is below 0.\n" in said
    found = json.loads(Path("all.json").read_text())
    kept = [row for row in read_run(Path("many")).rows if row.n_votes >= 4]
    assert (found["least_votes"], len(kept)) == (4.0, 24)
    few, many = found["runs"]
    gain = many["gains"]["stretches"]["kl"]
    assert gain["value"] == pytest.approx(
        many["figures"]["stretches"]["kl"]["value"] - few["figures"]["stretches"]["kl"]["value"]
    )
    assert gain["interval"][1] < 0
    assert main(["compare", "few", "many", "--votes", "10"]) == 2
    assert "few needs stretches with at least 10 votes, the most that one has is 9. Lower" in capsys.readouterr().err
    assert main(["compare", "weak-0", "strong-0"]) == 0
    assert "KL of" not in capsys.readouterr().out, "labels only"


def test_one_run_has_figures_and_no_gain(runs):
    Path("weak-0").rename("weak")
    assert compare_runs([Path("weak")])["runs"][0]["name"] == "weak"
    Path("weak").rename("weak-0")
    assert not any("gain" in line for line in comparison_lines(compare_runs([Path("weak-0")])))


def test_runs_that_cannot_be_compared_are_refused(runs, capsys):
    folds = scored_folds(runs, 1.0)
    write_run(Path("sleep"), "weak", folds, task="sleep")
    write_run(Path("data"), "weak", folds, data={"a": "1", "b": "3", "c": "4"})
    for name, message in (
        ("sleep", r"runs of one task for the same classes, weak-0 and sleep are of toy and sleep\. Train"),
        ("data", r"the same people and data, weak-0 and data differ in b and 1 more\. Train them on the same archive"),
        ("strong-1", r"runs with the same folds, those of weak-0 and strong-1 differ\. Train them with the same"),
    ):
        text = json.loads(Path(name, "run.json").read_text())
        Path(name, "run.json").write_text(json.dumps(text | {"settings": {"model": name, "seed": 0}}))
        with pytest.raises(UsageError, match=message):
            compare_runs([Path("weak-0"), Path(name)])
    write_run(Path("again"), "weak", folds)
    with pytest.raises(UsageError, match=r"needs runs that differ, weak-0 and again have the same settings\. Name"):
        compare_runs([Path("weak-0"), Path("again")])
    with pytest.raises(UsageError, match=r"taken together must differ, .*weak-0 is named twice\. Name each once"):
        compare_runs([Path("weak-0"), Path("weak-1"), Path("weak-0/../weak-0")])
    assert main(["compare", "weak-0", "nothing"]) == 2
    err = capsys.readouterr().err
    assert "need a finished run with folds, nothing holds none" in err
    assert err.count("\n") == 1
    Path("weak-0", "run.json").write_text('{"data": {}, "settings": []}')
    with pytest.raises(UsageError, match=r"weak-0 must hold the settings of a run in run\.json, it does not"):
        compare_runs([Path("weak-0")])


def test_repeats_are_of_the_same_data(runs):
    """A seed that was trained on another archive is no repeat, whatever its settings say."""
    write_run(Path("other-2"), "weak", scored_folds(runs, 0.3, 2, deal=2), 2, data={"a": "1", "b": "3"})
    with pytest.raises(UsageError, match=r"the same people and data, weak-0 and other-2 differ in b and 0 more"):
        compare_runs([Path("weak-0"), Path("other-2")])


def test_runs_in_folders_of_one_name_are_told_apart(runs):
    for name in ("weak-0", "strong-0"):
        Path(name, "in").mkdir()
        for part in ("folds", "metrics.json", "run.json"):
            Path(name, part).rename(Path(name, "in", part))
    both = compare_runs([Path("weak-0/in"), Path("strong-0/in")])
    assert [run["name"] for run in both["runs"]] == ["weak (weak-0/in)", "strong (strong-0/in)"]


def test_repeats_must_be_there_for_every_model(runs):
    with pytest.raises(UsageError, match="with several seeds, each model with all of them"):
        compare_runs([Path("weak-0"), Path("weak-1"), Path("strong-0")])


def test_a_file_that_cannot_be_written_is_told(runs, capsys):
    Path("file").write_text("")
    assert main(["compare", "weak-0", "--json", "file/all.json"]) == 2
    assert "The figures need a file that can be written, got file/all.json" in capsys.readouterr().err
