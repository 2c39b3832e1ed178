"""`bci score`: the counts of SzCORE's own scorer, delays, and one line for tables that cannot be scored."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from apps.cli import main
from bci.alarm_figures import poisson_interval
from bci.errors import SpecError
from bci.seizure_table import COLUMNS, SeizureEvent, SeizureTable
from offline.seizure_events import Span, onset_delays

HOURS_4 = 14_400.0


def write(path, spans, duration_s=HOURS_4):
    path.parent.mkdir(parents=True, exist_ok=True)
    events = tuple(SeizureEvent(a, b - a) for a, b in spans)
    path.write_text(SeizureTable(events, duration_s).to_tsv(), encoding="utf-8")
    return str(path)


def scored(tmp_path, reference, hypothesis):
    """Return the report of the command on two files or folders."""
    out = tmp_path / "report.json"
    assert main(["score", str(reference), str(hypothesis), "--json", str(out), "--overwrite"]) == 0
    return json.loads(out.read_text())


GOLDEN = [
    ([(600, 660)], [(600, 660), (5000, 5720)], (1, 1, 3)),  # a long false alarm counts three times
    ([(600, 660)], [(570, 576)], (1, 1, 0)),
    ([(600, 660)], [(560, 569)], (1, 0, 1)),
    ([(600, 660)], [(719, 725)], (1, 1, 0)),
    ([(600, 660)], [(721, 725)], (1, 0, 1)),
    ([(600, 1260)], [(600, 601)], (3, 1, 0)),  # a pulse finds a third of a long seizure
    ([(600, 1260)], [(600, 1260)], (3, 3, 0)),
    ([], [(1000, 1005), (1085, 1090), (1170, 1175)], (0, 0, 1)),  # 80 s apart: merged
    ([], [(1000, 1005), (1100, 1105), (1200, 1205)], (0, 0, 3)),  # 95 s apart
    ([(600, 660)], [(600, 660), (749, 750)], (1, 1, 0)),  # merged with the hit
    ([(600, 660)], [(0, HOURS_4)], (1, 1, 46)),  # a permanent alarm
]


@pytest.mark.parametrize(("truth", "said", "wanted"), GOLDEN, ids=range(len(GOLDEN)))
def test_golden_cases_of_szcore(tmp_path, truth, said, wanted):
    report = scored(tmp_path, write(tmp_path / "ref.tsv", truth), write(tmp_path / "hyp.tsv", said))
    events = report["total"]["events"]
    assert (events["n_seizures"], events["n_found"], events["n_false"]) == wanted
    assert events["false_per_day"] == pytest.approx(wanted[2] * 6)
    assert report["total"]["alarm"]["hours"] * 3600 == pytest.approx(sum(b - a for a, b in said))


def test_samples_are_scored_by_second(tmp_path):
    report = scored(tmp_path, write(tmp_path / "ref.tsv", [(600, 660)]), write(tmp_path / "hyp.tsv", [(630, 680)]))
    samples = report["total"]["samples"]
    assert (samples["n_seizure"], samples["n_found"], samples["n_false"]) == (60, 30, 20)
    assert samples["sensitivity"] == pytest.approx(0.5)
    assert samples["precision"] == pytest.approx(0.6)
    assert samples["f1"] == pytest.approx(60 / 110)


@pytest.mark.parametrize(
    ("truth", "said", "delays"),
    [
        ([(600, 660)], [(609, 650)], [9.0]),
        ([(600, 660)], [(700, 710)], [100.0]),  # late, within the tolerance
        ([(600, 660)], [(580, 605)], [-20.0]),  # was on before
        ([(600, 660)], [(580, 590)], []),  # ended before the onset: found, but nothing was detected
        ([(600, 660)], [(580, 590), (612, 620)], [12.0]),
        ([(600, 660)], [(721, 730)], []),
        ([(600, 1260)], [(630, 1260)], [30.0]),  # one seizure, however the scorer cuts it
        ([(600, 620), (700, 720)], [(605, 610), (705, 710)], [5.0]),  # less than 90 s apart: one seizure
        ([(600, 660), (3000, 3060)], [(0, 4000)], [-600.0, -3000.0]),
    ],
)
def test_delay_is_from_the_onset_to_the_first_alarm_that_is_on_after_it(truth, said, delays):
    assert onset_delays([Span(*s) for s in truth], [Span(*s) for s in said]) == tuple(delays)


def test_delays_are_summed_up_with_0_for_an_alarm_that_was_on(tmp_path):
    truth = [(600, 660), (2000, 2060), (4000, 4060), (6000, 6060)]
    said = [(590, 650), (2010, 2060), (4020, 4060), (6030, 6060)]
    report = scored(tmp_path, write(tmp_path / "ref.tsv", truth), write(tmp_path / "hyp.tsv", said))
    delay = report["total"]["delay"]
    assert delay == {"n": 4, "n_on_before": 1, "median_s": 15.0, "q25_s": 7.5, "q75_s": 22.5}


def folders(tmp_path):
    """Two subjects, three recordings; the detector has missed to write one, and has written one too many."""
    names = [f"sub-{s}/ses-01/eeg/sub-{s}_ses-01_run-0{r}_events.tsv" for s, r in (("01", 0), ("01", 1), ("02", 0))]
    write(tmp_path / "ref" / names[0], [(600, 660)], 3600.0)
    write(tmp_path / "ref" / names[1], [(100, 160)], 1800.0)
    write(tmp_path / "ref" / names[2], [(600, 660)], 7200.0)
    write(tmp_path / "hyp" / names[0], [(606, 650), (3000, 3010)], 3600.0)
    write(tmp_path / "hyp" / names[2], [(604, 640)], 7200.0)
    write(tmp_path / "hyp" / "sub-09/sub-09_events.tsv", [], 60.0)
    return tmp_path / "ref", tmp_path / "hyp", names


def test_folders_are_matched_by_name_and_nothing_is_missing_in_silence(tmp_path, capsys):
    reference, hypothesis, names = folders(tmp_path)
    report = scored(tmp_path, reference, hypothesis)
    assert list(report["recordings"]) == names
    first, second = (report["subjects"][s]["events"] for s in ("sub-01", "sub-02"))
    assert (first["n_seizures"], first["n_found"], first["n_false"]) == (2, 1, 1)
    assert first["false_per_day"] == pytest.approx(16.0)  # one in 1.5 h
    assert (second["n_seizures"], second["n_found"], second["n_false"]) == (1, 1, 0)
    assert report["macro"]["events"]["sensitivity"] == {"mean": 0.75, "std": 0.25, "n": 2}
    assert report["total"]["hours"] == pytest.approx(3.5)
    assert report["total"]["events"]["sensitivity"] == pytest.approx(2 / 3)
    out = capsys.readouterr().out
    for words in (f"{names[1]!r}: no hypothesis; counted as no events", "'sub-09/sub-09_events.tsv': a hypothesis"):
        assert words in out
        assert any(words in note for note in report["notes"])
    assert "sub-01" in out
    assert "median 5.0 s, quartiles 4.5 and 5.5 s, of 2 seizures" in out


def test_a_subject_without_seizures_has_no_sensitivity_and_does_not_count_in_the_mean(tmp_path):
    write(tmp_path / "ref/sub-1/a_events.tsv", [(600, 660)])
    write(tmp_path / "ref/sub-2/a_events.tsv", [])
    for subject in "12":
        write(tmp_path / f"hyp/sub-{subject}/a_events.tsv", [(600, 660)])
    report = scored(tmp_path, tmp_path / "ref", tmp_path / "hyp")
    assert report["subjects"]["sub-2"]["events"]["sensitivity"] is None
    assert report["macro"]["events"]["sensitivity"] == {"mean": 1.0, "std": 0.0, "n": 1}
    assert report["macro"]["events"]["false_per_day"] == {"mean": 3.0, "std": 3.0, "n": 2}


def test_a_length_that_differs_is_said_and_what_lies_beyond_is_cut(tmp_path, capsys):
    reference = write(tmp_path / "ref.tsv", [(600, 660)], 3600.0)
    report = scored(tmp_path, reference, write(tmp_path / "hyp.tsv", [(600, 650), (3590, 3700)], 4000.0))
    assert report["total"]["alarm"]["hours"] * 3600 == pytest.approx(60.0)
    assert "the hypothesis covers 4000 s of 3600 s" in capsys.readouterr().out
    assert not scored(tmp_path, reference, write(tmp_path / "same.tsv", [], 3599.5))["notes"]


def test_overlapping_and_instant_events_count_once(tmp_path):
    """The scorer itself takes an event without a tenth of a second for a false alarm, even inside a seizure."""
    reference = write(tmp_path / "ref.tsv", [(600, 660)])
    hypothesis = write(tmp_path / "hyp.tsv", [(620, 620), (900, 1000), (900, 905), (HOURS_4, HOURS_4)])
    report = scored(tmp_path, reference, hypothesis)
    events = report["total"]["events"]
    assert (events["n_found"], events["n_false"]) == (1, 2)
    assert report["total"]["alarm"]["hours"] * 3600 == pytest.approx(100.2)


def test_tables_with_only_the_needed_columns_are_scored(tmp_path):
    reference = tmp_path / "ref.tsv"
    reference.write_text("eventType\tonset\tduration\nsz_foc\t600\t60\n")
    report = scored(tmp_path, reference, write(tmp_path / "hyp.tsv", [(600, 660)]))
    assert report["total"]["hours"] == 4.0


def test_the_interval_of_a_count():
    """Values of Garwood's table."""
    np.testing.assert_allclose(poisson_interval(0), (0.0, 3.689), atol=5e-4)
    np.testing.assert_allclose(poisson_interval(10), (4.795, 18.390), atol=5e-4)
    with pytest.raises(SpecError, match=r"Poisson count needs n >= 0, got n=-1"):
        poisson_interval(-1)


# --- bad input ------------------------------------------------------------------------------------------------------


def refused(capsys, arguments, code, *words):
    assert main(["score", *map(str, arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_what_cannot_be_compared(tmp_path, capsys):
    reference = write(tmp_path / "ref.tsv", [(600, 660)])
    (tmp_path / "empty").mkdir()
    refused(capsys, [reference, tmp_path / "no.tsv"], 2, "bci score needs two files or folders that exist, got")
    refused(capsys, [reference, tmp_path / "empty"], 2, "two files or two folders, got one of each")
    refused(capsys, [tmp_path / "empty", tmp_path], 1, "needs files named *_events.tsv, got none in")
    header = "\t".join(COLUMNS)
    (tmp_path / "long.tsv").write_text(header + "\n")
    refused(capsys, [tmp_path / "long.tsv", tmp_path / "long.tsv"], 1, "scoring needs a recordingDuration", "got none")
    short = write(tmp_path / "short.tsv", [], 0.5)
    refused(capsys, [short, reference], 1, "recordingDuration of at least 1 s in a row of the reference, got 0.5 s")
    (tmp_path / "bad.tsv").write_text(f"{header}\nsoon\t1\tsz\tn/a\tn/a\tn/a\t60\n")
    refused(capsys, [reference, tmp_path / "bad.tsv"], 1, "'bad.tsv', line 2: onset needs a number", "got 'soon'")


def test_too_many_files(tmp_path, monkeypatch, capsys):
    reference, hypothesis, _ = folders(tmp_path)
    monkeypatch.setattr("offline.seizure_files.MAX_FILES", 2)
    refused(capsys, [reference, hypothesis], 1, "A folder of tables needs at most 2 files, got 3 in")


def test_a_report_replaces_no_file_by_accident(tmp_path, monkeypatch, capsys):
    reference = write(tmp_path / "ref.tsv", [(600, 660)])
    before = (tmp_path / "ref.tsv").read_text()
    old = tmp_path / "old.json"
    old.write_text("kept")
    refused(capsys, [reference, reference, "--json", old], 2, "The report needs a new file, got", "--overwrite")
    refused(
        capsys, [reference, reference, "--json", reference, "--overwrite"], 2, "The report needs a file of its own, got"
    )
    refused(
        capsys, [reference, reference, "--json", tmp_path / "no" / "x.json"], 2, "The report needs a file in a folder"
    )

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    refused(
        capsys,
        [reference, reference, "--json", old, "--overwrite"],
        2,
        "The report needs a file that can be written, got",
        "No space left",
    )
    assert old.read_text() == "kept"
    assert (tmp_path / "ref.tsv").read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.json", "ref.tsv"]


def test_without_the_scorer_it_is_said_what_to_install(tmp_path, monkeypatch, capsys):
    reference = write(tmp_path / "ref.tsv", [(600, 660)])
    monkeypatch.setitem(sys.modules, "timescoring.annotations", None)
    refused(capsys, [reference, reference], 2, "bci score needs timescoring. Install it: pip install")


def test_names_from_the_disk_are_text(tmp_path, capsys):
    """Neither markup nor the terminal's own commands reach the terminal."""
    for folder in ("ref", "hyp"):
        write(tmp_path / folder / "[red]x\x1b[2J" / "a_events.tsv", [(600, 660)])
    write(tmp_path / "ref" / "\x1b]0;" / "b_events.tsv", [])
    assert main(["score", str(tmp_path / "ref"), str(tmp_path / "hyp")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]" in out
