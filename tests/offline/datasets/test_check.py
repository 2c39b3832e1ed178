"""The check of an archive: what is there, what is damaged, what two people are said to have recorded."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from apps.train import main
from bci.errors import RecordingError
from offline.config import TrainConfig
from offline.datasets.check import check_dataset, check_examples, readable
from offline.datasets.registry import load_dataset, load_examples
from offline.datasets.simulated import TRAIN
from offline.prepare import prepared
from tests.offline.datasets.image_layout import LOWER, made_fold, write_folds
from tests.offline.datasets.layouts import write_bids, write_chbmit, write_tusz
from tests.offline.datasets.test_hms import HEAD, row, write_eeg

SEIZURE = "TERM,5.0,9.0,seiz,1.0\n"
NONE = "TERM,0.0,20.0,bckg,1.0\n"


def test_what_is_there_is_counted(tmp_path):
    write_tusz(tmp_path, "train", "aaaaaaaa", SEIZURE)
    write_tusz(tmp_path, "eval", "aaaaaaab", NONE)
    done = []
    report = check_dataset(load_dataset("tusz", tmp_path), done.append)
    assert not report.problems
    assert done == [1, 2]
    assert report.lines[0] == "2 sessions of 2 subjects"
    assert report.lines[1].startswith("19 channels at 256 Hz in uV: Fp1, F3")
    assert report.lines[2:6] == (
        "background: 3 stretches, 36 s, of 2 subjects",
        "seizure: 1 stretches, 4 s, of 1 subjects",
        "part eval: 1 sessions of 1 subjects",
        "part train: 1 sessions of 1 subjects",
    )
    assert report.lines[6] == "  aaaaaaaa_s001_t000: 20 s; background 2, seizure 1"


def test_copies_of_a_recording_under_two_names_are_a_problem(tmp_path):
    """Of one person they are told."""
    first = write_tusz(tmp_path, "train", "aaaaaaaa", SEIZURE)
    second = write_tusz(tmp_path, "eval", "aaaaaaab", NONE)
    shutil.copy(first, second)
    write_chbmit(tmp_path / "b", "chb01", {3: []}, seed=0)
    write_chbmit(tmp_path / "b", "chb21", {3: []}, seed=0)
    report = check_dataset(load_dataset("tusz", tmp_path))
    assert len(report.problems) == 1
    with pytest.raises(
        RecordingError,
        match=r"aaaaaaab_s001_t000\.edf: samples must be of one subject, these of aaaaaaab .* of aaaaaaaa\. Leave one",
    ):
        raise RecordingError(report.problems[0].reason)
    same = check_dataset(load_dataset("chb-mit", tmp_path / "b"))
    assert not same.problems
    assert "the same samples twice, of one subject: chb01_03, chb21_03" in same.lines


def _hms(folder):
    for name in ("11", "12"):
        write_eeg(folder / "train_eegs" / f"{name}.parquet", 60, seed=int(name))
    rows = row(11, 0.0, 5, (1, 0, 0, 2, 0, 0)) + row(12, 2.0, 6, (0, 9, 0, 0, 0, 0))
    (folder / "train.csv").write_text(HEAD + rows)
    return folder


def test_damage_inside_a_file_is_found(tmp_path):
    path = _hms(tmp_path) / "train_eegs" / "11.parquet"
    data = bytearray(path.read_bytes())
    data[4:64] = b"\xff" * 60
    path.write_bytes(data)
    dataset = load_dataset("hms", tmp_path)
    assert len(dataset.sessions) == 2
    assert not dataset.problems
    left = readable(dataset)
    assert [s.name for s in left.sessions] == ["12"]
    assert re.search(r"11\.parquet must be a Parquet file", left.problems[0].reason)
    assert check_dataset(dataset).problems == left.problems


def test_each_sample_is_read_once(tmp_path):
    dataset = load_dataset("hms", _hms(tmp_path))
    n_read: list[int] = []

    def watched(session):
        def read(start=0, stop=None):
            data = session.read(start, stop)
            n_read.append(data.shape[1])
            return data

        return replace(session, read=read)

    watched_dataset = replace(dataset, sessions=tuple(watched(s) for s in dataset.sessions))
    check_dataset(watched_dataset)
    assert sum(n_read) == sum(s.n_samples for s in dataset.sessions)
    n_read.clear()
    assert readable(watched_dataset).sessions[0].sha256 == dataset.sessions[0].sha256
    assert sum(n_read) == sum(s.n_samples for s in dataset.sessions)


def test_training_without_bad_files_goes_on_and_lists_them(tmp_path, caplog):
    """Also those whose damage shows only when their samples are read."""
    path = _hms(tmp_path) / "train_eegs" / "11.parquet"
    data = bytearray(path.read_bytes())
    data[4:64] = b"\xff" * 60
    path.write_bytes(data)
    config = TrainConfig(task="hms", model="any", out="out", data=str(tmp_path))
    with pytest.raises(
        RecordingError, match=r"every file of hms to be usable, 1 are not; first train_eegs/11\.parquet must"
    ):
        prepared(config)
    assert [s.name for s in prepared(replace(config, skip_bad=True)).sessions] == ["12"]
    assert "left out: train_eegs/11.parquet must be a Parquet file of numbers" in caplog.text


def test_votes_and_gaps_are_told(tmp_path):
    lines = check_dataset(load_dataset("hms", _hms(tmp_path))).lines
    assert "lpd: 1 stretches, 10 s, of 1 subjects" in lines
    assert "gpd: 0 stretches, 0 s, of 0 subjects" in lines
    assert "2 stretches with votes" in lines
    assert "  11: 60 s; seizure 0, lpd 0, gpd 0, lrda 1, grda 0, other 0; 1.67% of samples not finite" in lines


def test_large_archives_are_not_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("offline.datasets.check._LISTED", 1)
    lines = check_dataset(load_dataset("hms", _hms(tmp_path))).lines
    assert "samples that are not finite: in 2 sessions" in lines
    assert not [line for line in lines if line.startswith("  ")]


def test_examples_are_checked(tmp_path):
    folds = {k: made_fold(k, (6, 5, 3), np.float32) for k in (1, 2, 3)}
    folds[1][0][3, 2, 1, 0] = np.inf
    folds[2][0][0] = folds[1][0][0]  # another person's
    folds[2][0][2] = folds[2][0][3]  # the same person's
    folds[3][2][:] = folds[1][2][0]
    folder = write_folds(tmp_path / "a", LOWER, "mel", folds)
    done = []
    report = check_examples(load_examples("seizure-images-mel", folder), done.append)
    assert done == list(range(1, 19))
    assert report.lines[0] == "18 examples of 6 subjects in 3 folds"
    assert report.lines[1] == "3 by 6 by 5 (channel by frequency by time)"
    assert sum(int(re.search(r": (\d+) of", line)[1]) for line in report.lines[2:5]) == 18
    assert report.lines[5] == (
        "the same samples twice, of one subject: mel_data_fold_2.npy, row 2, mel_data_fold_2.npy, row 3"
    )
    reasons = [problem.reason for problem in report.problems]
    assert re.search(r"mel_data_fold_1\.npy, row 3, channel 00:2, sample 1: a value must be a number", reasons[0])
    assert re.search(
        r"mel_data_fold_2\.npy, row 0: .* of p20 are the same as in a/mel_data_fold_1\.npy, row 0", reasons[1]
    )
    assert re.search(
        r"mel_data_fold_3\.npy, row 0 and 5 more of its rows: a subject must be in one part .* p10 is in fold-1",
        reasons[2],
    )


def test_the_command(tmp_path, capsys):
    write_bids(tmp_path, "sub-01", "4.0\t5.0\tsz\tn/a\tn/a\tn/a\t20.0\n")
    assert main(["data", "check", "--dataset", "bids-eeg", "--data", str(tmp_path)]) == 0
    assert "1 sessions of 1 subjects" in capsys.readouterr().out
    write_bids(tmp_path, "sub-02", "4.0\t5.0\tspike\tn/a\tn/a\tn/a\t20.0\n")
    assert main(["data", "check", "--dataset", "bids-eeg", "--data", str(tmp_path)]) == 1
    assert "cannot be used: eeg/sub-02_ses-01_task-szMonitoring_run-00_eeg.edf: " in capsys.readouterr().out


def test_what_is_simulated_is_described_without_reading_it(capsys, monkeypatch):
    monkeypatch.setattr("offline.datasets.simulated.simulate", None)
    monkeypatch.setattr("offline.datasets.simulated.COHORTS", (replace(TRAIN, n_patients=2),))
    assert main(["data", "check", "--dataset", "seizure-sim"]) == 0
    assert "2 sessions of 2 subjects" in capsys.readouterr().out


def test_the_command_for_examples(tmp_path, capsys):
    folder = write_folds(tmp_path / "a", LOWER, "mel", {1: made_fold(1, (6, 5, 3))})
    assert main(["data", "check", "--dataset", "seizure-images-mel", "--data", str(folder)]) == 0
    assert "6 examples of 3 subjects in 1 folds" in capsys.readouterr().out


def test_many_problems_are_cut(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("apps.train_commands.data._SHOWN", 1)
    write_tusz(tmp_path, "train", "aaaaaaaa", SEIZURE)
    for name in ("aaaaaaab", "aaaaaaac", "aaaaaaad"):
        write_tusz(tmp_path, "train", name, "TERM,9\n")
    assert main(["data", "--dataset", "tusz", "--data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.count("cannot be used") == 1
    assert "and 2 more" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "A check needs one --dataset, got none"),
        (["check", "hms", "--dataset", "tusz"], "A check needs one --dataset, got hms"),
        (["check", "--dataset", "hms", "--only", "x"], "A check needs neither --only nor --from"),
        (["check", "--dataset", "nothing", "--data", "."], "No task is named 'nothing'"),
        (["download"], "A download needs one NAME, as in 'data download chb-mit'"),
        (["download", "chb-mit"], "A download needs a folder, got none. Pass --data DIR"),
        (["download", "hms", "--data", "x"], "siena-bids, got 'hms'. Others are fetched by hand"),
    ],
)
def test_wrong_usage_is_one_line_and_leaves_nothing(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
