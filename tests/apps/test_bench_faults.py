"""The comparison under faults: what is counted, and one short run over real LSL."""

from __future__ import annotations

import json

import numpy as np
import pytest

from apps.bench import faults
from apps.bench.counted import EEG, SFREQ, CountedFeed, PowerEngine
from apps.bench.fault_sides import Account, Window
from apps.cli import main


def account(windows, counts=range(100)):
    return Account([Window(*w) for w in windows], np.array(counts), np.array(counts) / SFREQ)


def test_a_side_that_offers_the_transient_as_good_is_disturbed_until_it_has_passed():
    windows = [(7.0, 20.0, True), (8.0, 20.0, True), (11.0, 21000.0, True), (12.0, 40.0, True), (13.0, 20.0, True)]
    row = faults.row_of("gap", "peer", account(windows), start_s=8.5, back_s=10.5)
    assert (row.peak_before_uv, row.peak_after_uv) == (20.0, 21000.0)
    assert (row.disturbed_s, row.recovery_s) == (1.5, 2.5)


def test_a_side_that_withholds_the_transient_is_not_disturbed_and_recovers_when_it_offers_again():
    windows = [(8.0, 20.0, True), (11.0, 21000.0, False), (12.0, 40.0, False), (13.0, 20.0, True), (14.0, 20.0, True)]
    row = faults.row_of("gap", "ours", account(windows), start_s=8.5, back_s=10.5)
    assert (row.peak_after_uv, row.disturbed_s, row.recovery_s) == (20.0, 0.0, 2.5)


def test_a_side_that_never_comes_back_never_recovers():
    row = faults.row_of("restart", "peer", account([(8.0, 20.0, True)]), start_s=8.5, back_s=10.5)
    assert row.recovery_s is None


def test_samples_that_did_not_come_are_counted_between_first_and_last():
    assert account([], [5, 6, 7, 10, 11, 11, 20]).n_missing == 10
    assert Account().n_missing == 0


def test_the_counted_signal_does_not_depend_on_how_it_is_read():
    feed = CountedFeed(4.0, (1.0, 2.0))
    whole = feed.read(0, 1024)
    parts = np.concatenate([feed.read(a, b) for a, b in ((0, 1), (1, 300), (300, 1024))], axis=1)
    np.testing.assert_array_equal(parts, whole)
    np.testing.assert_array_equal(whole[-1], np.arange(1024))
    assert whole[: EEG.n_channels, 256:512].std() > 5 * whole[: EEG.n_channels, :256].std()


def test_the_engine_tells_the_rhythm_from_the_noise():
    engine, whole = PowerEngine(), CountedFeed(4.0, (1.0, 2.0)).read(0, 1024)[None, : EEG.n_channels]
    (noise,), (rhythm,) = engine(whole[..., :256]), engine(whole[..., 256:512])
    assert noise[1] < -2
    assert rhythm[1] > 2
    assert engine.peak_uv == np.abs(whole[..., 256:512]).max()


@pytest.mark.lsl
@pytest.mark.slow
def test_a_gap_is_told_by_us_and_by_nobody_else(capsys, tmp_path, monkeypatch):
    pytest.importorskip("mne_lsl")
    monkeypatch.setattr(faults, "FAULTS", {"gap": ("drop:8,1", "dc:8.5,20000,C3,Cz,C4")})
    monkeypatch.setattr(faults, "QUIET_S", 8.0)
    monkeypatch.setattr(faults, "AFTER_S", 4.0)
    target = tmp_path / "faults.json"
    assert main(["bench", "faults", "--json", str(target)]) == 0
    assert "gap, mne-lsl" in capsys.readouterr().out
    ours, peer = json.loads(target.read_text())["rows"]
    assert (ours["n_missing"], ours["n_reported"], ours["said"]) == (256, 256, {"gap": 1})
    assert (peer["n_missing"], peer["n_reported"], peer["said"]) == (256, 0, {})
    assert ours["n_alarms"] == ours["disturbed_s"] == 0
    assert peer["peak_after_uv"] > 100 * ours["peak_after_uv"] > 0
