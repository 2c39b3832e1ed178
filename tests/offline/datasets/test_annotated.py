"""What the seizure corpora share: stretches, the common form, and files that cannot be used."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bci.errors import RecordingError
from bci.stages.montages import TEN_TWENTY_19
from offline.datasets.annotated import seizure_stretches
from offline.datasets.base import Stretch
from offline.datasets.edf_header import read_header, require_complete
from offline.datasets.tusz import load
from offline.seizure_events import Span
from tests.offline.datasets.layouts import REMEDY, cut_off, write_edf, write_tusz

SEIZURE = "TERM,5.0,9.0,seiz,1.0\n"
BACKGROUND = "TERM,0.0,20.0,bckg,1.0\n"


def test_a_recording_is_background_and_seizure_in_turn():
    assert seizure_stretches([Span(30, 40.5), Span(10, 20)], 1000, 10, "x") == (
        Stretch(0, 100, 0),
        Stretch(100, 200, 1, ending=20),
        Stretch(200, 300, 0),
        Stretch(300, 405, 1, ending=20),
        Stretch(405, 1000, 0),
    )
    assert seizure_stretches([], 1000, 10, "x") == (Stretch(0, 1000, 0),)


@pytest.mark.parametrize("spans", [[(0, 30), (10, 20), (30, 100.5)], [(0, 50), (50, 100)], [(0, 100), (20, 20)]])
def test_seizures_that_touch_or_overlap_are_one(spans):
    assert seizure_stretches([Span(*s) for s in spans], 1000, 10, "x") == (Stretch(0, 1000, 1, ending=20),)


@pytest.mark.parametrize("span", [(90, 102), (100, 101), (120, 130)])
def test_a_seizure_outside_is_refused(span):
    with pytest.raises(
        RecordingError, match=r"recording of 100 s, a\.edf has one \(number 1\) from \d+ to \d+ s\. Cor"
    ):
        seizure_stretches([Span(*span)], 1000, 10, "a.edf")


def test_the_header_says_how_long_a_file_is(tmp_path):
    path = write_edf(tmp_path / "a.edf", duration_s=4)
    header = read_header(path)
    assert (header.n_records, header.record_s, header.record_bytes) == (4, 1.0, 19 * 256 * 2)
    require_complete(path)


@pytest.mark.parametrize("n_bytes", [1, 2 * 19 * 256, 3 * 19 * 256])
def test_a_file_that_was_cut_off_is_refused(tmp_path, n_bytes):
    path = write_edf(tmp_path / "a.edf", duration_s=4)
    cut_off(path, n_bytes)
    with pytest.raises(
        RecordingError, match=r"a\.edf needs 4 records of 9728 bytes .* ends \d+ bytes into record [34] "
    ):
        require_complete(path)


HEADERS = {
    "no number": (
        252,
        b"many",
        r"a\.edf needs 1 to 4096 as number of signals in its header, got 'many'\. Fetch it again",
    ),
    "signals": (252, b"0   ", r"needs 1 to 4096 as number of signals in its header, got '0'"),
    "length": (184, b"99      ", r"needs 5120 as length of a header of 19 signals in its header, got '99'"),
    "records": (236, b"??      ", r"needs -1 or more as number of records in its header, got '\?\?'"),
    "samples": (256 + 19 * 216 + 8, b"0       ", r"needs 1 or more as samples of signal 2 in a record .* got '0'"),
    "seconds": (244, b"nan     ", r"needs a number of seconds as length of a record in its header, got 'nan'"),
    "no seconds": (244, b"\x1b[2J    ", r"as length of a record in its header, got '\\x1b\[2J'"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_damaged_header_is_refused(tmp_path, kind):
    path = write_edf(tmp_path / "a.edf", duration_s=2)
    at, text, reason = HEADERS[kind]
    data = path.read_bytes()
    path.write_bytes(data[:at] + text + data[at + len(text) :])
    with pytest.raises(RecordingError, match=reason):
        require_complete(path)


@pytest.mark.parametrize(("n_bytes", "needed"), [(0, 256), (100, 256), (256, 5120), (300, 5120), (5119, 5120)])
def test_a_header_that_is_cut_off_is_refused(tmp_path, n_bytes, needed):
    path = write_edf(tmp_path / "a.edf", duration_s=2)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(
        RecordingError, match=rf"a\.edf needs a header of {needed} bytes, got {n_bytes}: the file ends there\. Fetch it"
    ):
        require_complete(path)


def test_a_header_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "a.edf").mkdir()
    with pytest.raises(
        RecordingError, match=r"a\.edf needs a header that can be read, got .*directory.*\. Fetch it again"
    ):
        require_complete(tmp_path / "a.edf")


def test_a_session_reads_its_samples_by_index(tmp_path):
    """A part is the same numbers as in the whole, and nothing is read before it is asked for."""
    write_tusz(tmp_path, "train", "aaaaaaaa", SEIZURE, sfreq=250.0)
    session = load(tmp_path).sessions[0]
    whole = session.read()
    assert whole.dtype == np.float32
    assert whole.shape == (19, session.n_samples) == (19, 20 * 256)
    np.testing.assert_array_equal(session.read(1000, 2000), whole[:, 1000:2000])
    np.testing.assert_allclose(whole.sum(axis=0), 0, atol=1e-3)
    assert session.recorded_at is not None
    assert session.recorded_at.year == 2020


def _truncated(folder):
    cut_off(write_tusz(folder, "dev", "aaaaaaab", BACKGROUND), 100)


def _no_table(folder):
    write_tusz(folder, "dev", "aaaaaaab", BACKGROUND).with_suffix(".csv_bi").unlink()


def _no_recording(folder):
    write_tusz(folder, "dev", "aaaaaaab", BACKGROUND).write_bytes(b"nothing")


def _gap(folder):
    path = write_tusz(folder, "dev", "aaaaaaab", BACKGROUND)
    write_edf(path, [f"EEG {name}-REF" for name in TEN_TWENTY_19], notes=[(3.0, 2.0, "BAD_ACQ_SKIP")])


PROBLEMS = {
    "gap": (
        _gap,
        r"must be continuous, it has 1 gap\(s\), the first from 768 to 1280 samples\. Cut it there into runs",
    ),
    "cut off": (_truncated, r"t000\.edf needs 20 records of \d+ bytes .* into record 20 \(19 s\)\. Fetch it again"),
    "no table": (_no_table, r"The file aaaaaaab_s001_t000\.csv_bi is missing in .*s001_2002/02_tcp_le\. Fetch it"),
    "no recording": (_no_recording, "needs a header of 256 bytes, got 7"),
    "label": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", BACKGROUND + "TERM,1,2,fnsz,1\n"),
        r"t000\.csv_bi, row 8: label must be seiz or bckg, got 'fnsz'",
    ),
    "channel": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", "FP1-F7,1,2,seiz,1\n"),
        r"csv_bi, row 7: channel must be TERM in a file \.csv_bi, got 'FP1-F7'",
    ),
    "no number": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", "TERM,soon,2,seiz,1\n"),
        r"csv_bi, row 7: start_time must be a number from 0 on, got 'soon'",
    ),
    "backwards": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", "TERM,9,2,seiz,1\n"),
        r"csv_bi, row 7: stop_time must be a number from 9 on, got '2'",
    ),
    "cells": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", "TERM,9\n"),
        r"csv_bi, row 7: a row must have 5 cells .* got 2",
    ),
    "outside": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", "TERM,9,30,seiz,1\n"),
        r"recording of 20 s, aaaaaaab_s001_t000\.edf has one \(number 1\) from 9 to 30 s",
    ),
    "electrodes": (
        lambda f: write_tusz(f, "dev", "aaaaaaab", SEIZURE, reference="CS2"),
        r"electrodes .* lacks: Fp1, F3,",
    ),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_files_that_cannot_be_used_are_listed(tmp_path, kind):
    """One bad file does not hide the good ones, and is not left out in silence."""
    spoil, reason = PROBLEMS[kind]
    write_tusz(tmp_path, "train", "aaaaaaaa", SEIZURE)
    spoil(tmp_path)
    dataset = load(tmp_path)
    assert [session.name for session in dataset.sessions] == ["aaaaaaaa_s001_t000"]
    assert len(dataset.problems) == 1
    assert re.search(reason, dataset.problems[0].reason), dataset.problems[0].reason
    assert REMEDY.search(dataset.problems[0].reason), dataset.problems[0].reason


def test_an_archive_in_which_nothing_can_be_used_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"task tusz needs edf/\{train.* found no usable one in .*\. Check --data"):
        load(tmp_path)
    _no_table(tmp_path)
    with pytest.raises(RecordingError, match=r"First problem: 02_tcp_le/aaaaaaab_s001_t000\.edf: The file"):
        load(tmp_path)
