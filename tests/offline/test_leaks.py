"""Splits in which a model meets what it is scored on are refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bci.errors import RecordingError, SpecError, UsageError
from offline.config import TrainConfig
from offline.datasets.base import Dataset, Problem
from offline.leaks import require_apart
from offline.prepare import membership, outer_splits, prepared, unscored, usable
from offline.splits import Split, require_classes
from offline.temporal import TemporalSplit
from tests.offline.toy_task import dataset, install, session


def config(**changes) -> TrainConfig:
    return TrainConfig(**{"task": "toy", "model": "eegnet", "out": "o"} | changes)


def with_copy() -> Dataset:
    """The fourth person's recording is the first one's, under another name."""
    clean = dataset(3)
    copied = replace(session("sub-04", 0), name="renamed")
    return replace(clean, sessions=(*clean.sessions, copied))


def test_people_apart_are_accepted():
    require_apart(dataset(4), Split(("sub-01", "sub-02"), ("sub-03",), ("sub-04",)))


def test_a_copy_of_a_recording_on_two_sides_is_refused():
    split = Split(("sub-01", "sub-02"), ("sub-03",), ("sub-04",))
    with pytest.raises(SpecError, match=r"a content of a recording: train and test share sub-01_run-1 as renamed"):
        require_apart(with_copy(), split)
    require_apart(with_copy(), Split(("sub-01", "sub-04"), ("sub-03",), ("sub-02",)))


@pytest.mark.parametrize("changes", [{}, {"split": "k-fold", "n_folds": 3}], ids=str)
def test_no_fold_of_a_run_leaks(changes):
    with pytest.raises(UsageError, match=r"Sides of a split must not share a content of a recording"):
        outer_splits(with_copy(), config(**changes))


def test_a_person_or_a_recording_under_two_names_is_refused(monkeypatch):
    """A Split holds names apart; a dataset that answers with others does not get through."""
    data = dataset(3)
    split = Split(("sub-01",), ("sub-02",), ("sub-03",))
    monkeypatch.setattr("offline.leaks.sides", lambda data, split: (data.sessions[:2], (), data.sessions[1:]))
    with pytest.raises(SpecError, match=r"must not share a person: train and test share sub-02\. Give both the same"):
        require_apart(data, split)
    twins = tuple(replace(s, subject=f"twin {i}") for i, s in enumerate((data.sessions[0], data.sessions[0])))
    monkeypatch.setattr("offline.leaks.sides", lambda data, split: (twins[:1], (), twins[1:]))
    with pytest.raises(SpecError, match="must not share a recording: train and test share sub-01_run-1"):
        require_apart(data, split)


def test_a_split_in_time_that_looks_ahead_is_refused():
    data = dataset(1)
    name = data.sessions[0].name
    require_apart(data, TemporalSplit("sub-01", 0, (f"{name}[0:3]",), (f"{name}[3:5]",), (f"{name}[5:8]",)))
    for train, test in (("[3:6]", "[0:3]"), ("[0:4]", "[3:6]")):
        early = TemporalSplit("sub-01", 0, (name + train,), (), (name + test,))
        with pytest.raises(SpecError, match=r"learnt from before what is scored, sub-01-1 has .* too early"):
            require_apart(data, early)


def test_a_copy_in_a_later_recording_is_refused():
    later = replace(session("sub-01", 0, run=2), name="again")
    data = Dataset("toy", ("quiet", "loud"), (session("sub-01", 0), later))
    split = TemporalSplit("sub-01", 0, ("sub-01_run-1[0:8]",), (), ("again[0:8]",))
    with pytest.raises(SpecError, match="share a content of a recording: train and test share sub-01_run-1 as again"):
        require_apart(data, split)


def test_a_copy_is_found_where_one_side_spans_both():
    """What is scored of the copy was learnt from the recording that it is a copy of."""
    later = replace(session("sub-01", 0, run=2), name="again")
    data = Dataset("toy", ("quiet", "loud"), (session("sub-01", 0), later))
    split = TemporalSplit("sub-01", 0, ("sub-01_run-1[0:8]", "again[0:1]"), ("again[1:2]",), ("again[2:3]",))
    with pytest.raises(SpecError, match="train and validation share sub-01_run-1 as again"):
        require_apart(data, split)
    with pytest.raises(SpecError, match="train and test share sub-01_run-1 as again"):
        require_apart(data, replace(split, validation=()))


def test_a_run_knows_who_was_where():
    found = membership(outer_splits(dataset(4), config())[1])
    assert found[0] == {
        "name": "sub-01", "train": ("sub-03", "sub-04"), "validation": ("sub-02",), "test": ("sub-01",)
    }  # fmt: skip


def test_the_dataset_is_what_the_settings_ask_for(monkeypatch):
    install(monkeypatch, 3)
    data = prepared(config(classes=("loud", "quiet"), piece_s=0.5))
    assert data.classes == ("loud", "quiet")
    assert len(data.sessions[0].stretches) == 16
    assert [s.label for s in data.sessions[0].stretches[:4]] == [1, 1, 0, 0]


def test_files_that_cannot_be_used_stop_a_run_unless_it_may_skip_them(tmp_path):
    spoiled = replace(dataset(3), problems=(Problem(tmp_path / "x.edf", "It ends too early."),))
    with pytest.raises(RecordingError, match=r"1 are not; first .*/x\.edf: It ends too early\. See .*--skip-bad"):
        usable(spoiled, skip_bad=False)
    assert usable(spoiled, skip_bad=True) == spoiled


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "k-fold", "n_folds": 5}, "Folds of subjects need at least 3 folds .* got 5 folds and 4 subjects"),
        ({"n_folds": 3}, "--n-folds has no effect with --split leave-one-out"),
        ({"split": "k-fold", "n_folds": 3, "n_validation": 2}, "--n-validation has no effect with --split k-fold"),
        ({"split": "temporal", "n_folds": 7}, r"into 7 folds needs at least 9 stretches of each person, sub-01 has 8"),
        ({"n_validation": 3}, r"needs at least 5 subjects, got 4.*Or lower --n-validation"),
    ],
)
def test_too_few_for_the_folds_is_wrong_usage(changes, message):
    with pytest.raises(UsageError, match=message):
        outer_splits(dataset(4), config(**changes))


def one_class(n_of_other: int) -> Dataset:
    """Six people who are loud, of whom the last ones are quiet instead."""
    made = []
    for i, one in enumerate(dataset(6).sessions):
        label = int(i < 6 - n_of_other)
        made.append(replace(one, stretches=tuple(replace(s, label=label) for s in one.stretches)))
    return replace(dataset(6), sessions=tuple(made))


@pytest.mark.parametrize(
    ("data", "changes", "fold"),
    [
        (one_class(0), {"split": "k-fold", "n_folds": 3}, "sub-0"),
        (one_class(1), {}, "sub-05"),  # the quiet one stops the training of this fold
        (one_class(1), {"split": "k-fold", "n_folds": 3}, "sub-0"),
    ],
)
def test_learners_of_one_class_are_refused(data, changes, fold):
    message = rf"at least two classes, fold {fold}.* recordings of loud only, the first sub-0\d_run-1\. Add recordings"
    with pytest.raises(UsageError, match=message):
        outer_splits(data, config(**changes))


def test_folds_whose_learners_know_one_class_can_be_left_out(caplog):
    """The quiet person is scored in one fold and stops the training of another; four are left."""
    data, splits = outer_splits(one_class(1), config(skip_bad=True))
    assert [split.name for split in splits] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert [re.search(r"fold (\S+) has", problem.reason)[1] for problem in data.problems] == ["sub-05", "sub-06"]
    assert f"left out: {data.problems[0].text}" in caplog.text
    assert unscored(data, splits) == ("what the model makes of quiet: no stretch that is scored is labelled so",)
    with pytest.raises(UsageError, match="at least two classes, fold sub-01 has"):
        outer_splits(one_class(0), config(skip_bad=True))


def test_classes_without_a_stretch_are_told(monkeypatch, caplog):
    install(monkeypatch, 3)
    prepared(config())
    assert "no stretch" not in caplog.text
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: one_class(0))
    prepared(config())
    assert "no stretch is labelled quiet: nothing scores what the model says of it" in caplog.text


@pytest.mark.parametrize("split", ["k-fold", "archive"])
def test_copies_and_people_in_two_parts_are_left_out_or_stop_a_run(monkeypatch, split):
    clean = dataset(4)
    parts = ("fold-1", "fold-2", "fold-10", "fold-1")
    sessions = [replace(s, part=part) for s, part in zip(clean.sessions, parts, strict=True)]
    sessions += [
        replace(session("sub-01", 7, run=2), part="fold-10"),
        replace(session("sub-05", 1), part="fold-1", row=3),
        replace(session("sub-02", 1), name="again", part="fold-2"),
    ]
    install(monkeypatch)
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: replace(clean, sessions=tuple(sessions)))
    with pytest.raises(
        RecordingError, match=rf"{1 + (split == 'archive')} are not; first .*sub-05_run-1, row 3: samples"
    ):
        prepared(config(split=split))
    left = prepared(config(split=split, skip_bad=True))
    assert [problem.reason for problem in left.problems] == [
        "sub-05_run-1, row 3: samples must be of one subject, these of sub-05 are the same as in sub-02_run-1 of "
        "sub-02. Leave one out, or correct whose it is.",
        "sub-01_run-2: a subject must be in one part of the archive, sub-01 is in fold-1 and in fold-10. Correct whose "
        "they are, or use --split k-fold.",
    ][: 1 + (split == "archive")]
    gone = {"sub-05_run-1"} | ({"sub-01_run-2"} if split == "archive" else set())
    assert [s.name for s in left.sessions] == [s.name for s in sessions if s.name not in gone]


def test_two_classes_among_the_learners_are_enough():
    assert len(outer_splits(one_class(3), config(split="k-fold", n_folds=3))[1]) == 3
    votes = tuple(replace(s, stretches=(replace(s.stretches[0], votes=(1.0, 2.0)),)) for s in one_class(0).sessions)
    everybody = Split(tuple(f"sub-0{i}" for i in range(1, 7)), (), ())
    require_classes(replace(one_class(0), sessions=votes), everybody)
    with pytest.raises(SpecError, match="fold all has 6 recordings of loud only"):
        require_classes(one_class(0), everybody)
