"""The peers' side of the benchmarks: ratios, what is not there, and short real runs."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from apps.bench import callback_peers, filter_peers, peers
from apps.bench.callback_peers import Case
from apps.bench.hygiene import missing_hygiene
from apps.bench.sender import Sent
from apps.bench.timing import Latencies
from bci.errors import StreamError


def latencies(ms):
    return Latencies(100, ms, 2 * ms, 3 * ms, 4 * ms)


def test_ratios_are_to_ours_of_the_same_case():
    found = {
        "ours, 10 s": ("10", latencies(1.0), 0.05),
        "mne-lsl, 10 s": ("10", latencies(3.0), 0.2),
        "ours, 300 s": ("300", latencies(2.0), 0.05),
        "mne-lsl, 300 s": ("300", latencies(12.0), None),
    }
    rows = peers.related(peers.CALLBACK, found)
    assert [row.label for row in rows] == [f"callback, {label}" for label in found]
    assert [row.values["ratio_p50"] for row in rows] == [1.0, 3.0, 1.0, 6.0]
    assert [row.values["core"] for row in rows] == [5.0, 20.0, 5.0, None]
    assert [row.ours for row in rows] == [True, False, True, False]


def test_callbacks_are_compared_with_and_without_real_time_hygiene(monkeypatch):
    told = (latencies(1.0), 0.05)
    monkeypatch.setattr(callback_peers, "run", lambda cases, *rest: dict.fromkeys(cases, told))
    args = SimpleNamespace(works="callback", duration=2.0, rounds=1, bursts=1, engine="eager", seed=0)

    def labels(missing):
        monkeypatch.setattr(peers, "missing_hygiene", lambda: missing)
        report = peers.bench(args, lambda text: None)
        return [row.label for row in report.table.rows if row.ours], report.notes

    assert labels([])[0] == [
        "callback, ours, 10 s kept",
        "callback, ours, 10 s kept, --realtime",
        "callback, ours, 300 s kept",
        "callback, ours, 300 s kept, --realtime",
    ]
    rows, notes = labels(["priority: not possible, no."])
    assert rows == ["callback, ours, 10 s kept", "callback, ours, 300 s kept"]
    assert "Rows with --realtime were not measured: priority: not possible, no." in notes


def test_a_work_that_fails_is_a_note_and_the_others_stay(monkeypatch):
    def overloaded(*args):
        raise StreamError("The decoding process must answer within 180 s, got nothing.")

    monkeypatch.setattr(peers, "_predictions", overloaded)
    monkeypatch.setattr(peers, "_filters", lambda *args: peers.related("filter", {"ours": ("", latencies(1.0), None)}))
    args = SimpleNamespace(works="predict,filter", duration=2.0, rounds=1, bursts=1, engine="eager", seed=0)
    report = peers.bench(args, lambda text: None)
    assert [row.label for row in report.table.rows] == ["filter, ours"]
    assert any("was not measured: The decoding process must answer" in note for note in report.notes)


def test_a_filter_is_timed_in_its_process_and_a_missing_peer_is_a_note():
    found, notes = filter_peers.run(1, 0, ("ours", "ezmsg"))
    assert found["ours"].n == filter_peers.BURST
    assert 0 < found["ours"].p50 <= found["ours"].max
    if importlib.util.find_spec("ezmsg") is None:
        assert len(notes) == 1
        assert notes[0].startswith("Filtering by ezmsg was not measured (pip install ezmsg-sigproc): The ezmsg process")


@pytest.mark.parametrize("side", ["ours", "mne-lsl", "BrainFlow"])
def test_every_side_filters_a_chunk(side):
    if side == "BrainFlow":
        pytest.importorskip("brainflow", exc_type=ImportError)
    process = filter_peers.SIDES[side]()
    x = np.random.default_rng(0).standard_normal((filter_peers.N_CHANNELS, filter_peers.CHUNK)).astype(np.float32)
    for _ in range(3):
        assert process(x) is not None


@pytest.mark.lsl
@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [Case("ours", 10.0, False), Case("ours", 10.0, True), Case("mne-lsl", 10.0, False)], ids=str
)
def test_filtered_samples_reach_a_callback(case, monkeypatch):
    if case.side == "mne-lsl":
        pytest.importorskip("mne_lsl")
    if case.real_time and (missing := missing_hygiene()):
        pytest.skip(" ".join(missing))
    monkeypatch.setattr(callback_peers, "SETTLE_S", 0.5)
    late, busy = callback_peers.run_turn(case, 1.0, seed=0)
    assert late.size > 0
    assert (late > -0.01).all()
    assert busy > 0


def test_no_samples_at_the_callback_are_an_error(monkeypatch):
    none = np.empty(0)
    answers = iter(["ready", Sent(np.arange(3.0), np.arange(3.0)), callback_peers.Callbacks(none, none, 0.0)])

    class Child:
        def __init__(self, *args):
            pass

        def answer(self, timeout_s):
            return next(answers)

        def stop(self):
            pass

        def end(self):
            pass

    monkeypatch.setattr(callback_peers, "Child", Child)
    with pytest.raises(StreamError, match=r"Samples must reach ours after the first 2 s, got none\."):
        callback_peers.run_turn(Case("ours", 10.0, False), 1.0, seed=0)
