"""The live view and the summary show what the session counts."""

from __future__ import annotations

import io
import os
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from apps.console import STATES, ConsoleView, budget_line, print_engine, print_summary
from apps.signals import stop_on_signals
from bci.alarm import QUIET
from bci.alarm_figures import AlarmFigures, Onset
from bci.algorithmic import AlgorithmicLatency
from bci.budget_events import BudgetFigures
from bci.decision import AlarmFlags, State
from bci.decoder import Ledger, Prediction
from bci.engines.choice import Trial
from bci.engines.selection import EngineReport
from bci.session import Summary
from bci.sinks.base import Output
from bci.telemetry import Telemetry

CLASSES = ("background", "sei[z]ure")
NOTHING = AlarmFigures(0.5).figures()


def session_of(probabilities=(0.25, 0.75), state=State.OK, quality=0.5, flags=QUIET, figures=NOTHING):
    telemetry = Telemetry()
    telemetry.count("samples", 512)
    alarms = SimpleNamespace(state=state, flags=flags, mute_left_s=59.6, figures=lambda: figures)
    if probabilities is None:
        return SimpleNamespace(newest=None, telemetry=telemetry, alarms=alarms)
    p = Prediction(
        3, 511, 7.0, np.zeros(2), np.array(probabilities), quality, state, None, 0.1, Ledger(0.001, 0.001, 0.002, 0.0)
    )
    output = Output(p, 7.010, 7.014, 7.015)
    telemetry.count("predictions", 4)
    telemetry.count("gap", 2)
    for stage, seconds in output.stages_s().items():
        telemetry.time(stage, seconds)
    return SimpleNamespace(newest=output, telemetry=telemetry, alarms=alarms)


def console(terminal=False):
    return Console(file=io.StringIO(), width=140, force_terminal=terminal, color_system=None)


def drawn(session):
    out = console()
    out.print(ConsoleView(session, "amp → tiny [onnx]", CLASSES, out).picture())
    return out.file.getvalue()


def test_before_the_first_window_the_view_says_what_has_come():
    text = drawn(session_of(None))
    assert "waiting for the first window… 512 samples" in text


@pytest.mark.parametrize("state", State)
def test_the_view_shows_the_newest_prediction(state):
    """In words and signs, not in colour alone."""
    text = drawn(session_of(state=state))
    assert "amp → tiny [onnx]" in text
    assert STATES[state][0] in text
    assert "sei[z]ure" in text  # brackets are text, not markup
    assert "0.250" in text
    assert "0.750" in text
    assert text.count("█") == round(30 * 0.25) + round(30 * 0.75)
    for part in ("predictions 4", "quality 0.50", "gaps 2", "p50 14.98 ms", "engine p50 1.99 ms"):  # 1 %
        assert part in text


@pytest.mark.parametrize(
    ("state", "flags", "words"),
    [
        (State.ALARM, AlarmFlags(on=True), ""),
        (State.FAULT, AlarmFlags(on=True), "alarm held"),
        (State.ALARM, AlarmFlags(on=True, latched=True), "latched: waits to be acknowledged"),
        (State.ALARM, AlarmFlags(on=True, acknowledged=True), "acknowledged"),
        (State.FAULT, AlarmFlags(muted=True), "muted, 60 s left"),
        (State.ALARM, AlarmFlags(True, True, False, True), "latched: waits to be acknowledged · muted, 60 s left"),
    ],
)
def test_what_holds_beside_the_state_is_said_and_hides_it_never(state, flags, words):
    line = drawn(session_of(state=state, flags=flags)).splitlines()[1].rstrip()
    assert line == f" {STATES[state][0]}   {words}".rstrip()


def figures_of(levels):
    """Return the figures of an hour with some alarms, with a seizure at its begin."""
    figures = AlarmFigures(0.5)
    figures.expect(Onset(0.0, 10.0))
    for n in range(7200):
        changed = "alarm_on" if n in levels else None
        figures.take(State.ALARM if n in levels else State.OK, changed, n in levels, 0.5 * n)
    return figures.figures()


def test_the_live_figures_are_a_line_of_the_view_and_of_the_summary():
    figures = figures_of({40, 100, 2000})
    wanted = (
        "ime in warning 0.0 % of 1.00 h   3 alarms, 72.0 per 24 h (95 %: 14.8 to 210.4)   "
        "1 of 1 annotated seizures, delay 20.0 s"
    )
    assert wanted in drawn(session_of(figures=figures))
    telemetry, out = session_of().telemetry, console()
    print_summary(Summary(telemetry.summary(), telemetry.counts, "stopped", False, alarms=figures), out)
    assert f"T{wanted}.\n" in out.file.getvalue()
    assert "1 alarm, 24.0" in drawn(session_of(figures=figures_of({2000})))
    assert "warning" not in drawn(session_of())  # nothing has been judged


@pytest.mark.parametrize("probabilities", [(0.0, 1.0), (np.nan, np.nan), (np.inf, 0.5)])
def test_the_view_survives_any_probability(probabilities):
    assert "background" in drawn(session_of(probabilities))


def test_every_state_has_a_word_of_its_own():
    assert set(STATES) == set(State)
    assert len({word for word, _ in STATES.values()}) == len(State)


def test_the_view_draws_on_a_terminal_and_ends_with_the_session():
    out = console(terminal=True)
    with ConsoleView(session_of(), "amp", CLASSES, out):
        assert any(thread.name == "console-view" for thread in threading.enumerate())
    assert not any(thread.name == "console-view" for thread in threading.enumerate())
    assert "predictions 4" in out.file.getvalue()  # the last picture stays


def test_without_a_terminal_nothing_is_drawn():
    out = console()
    with ConsoleView(session_of(), "amp", CLASSES, out):
        pass
    assert out.file.getvalue() == ""


def test_the_view_ends_when_the_session_fails():
    def fail():
        with ConsoleView(session_of(), "amp", CLASSES, console(terminal=True)):
            raise RuntimeError("the session failed")

    with pytest.raises(RuntimeError, match="the session failed"):
        fail()
    assert not any(thread.name == "console-view" for thread in threading.enumerate())


def test_the_summary_has_every_stage_and_event():
    telemetry = session_of().telemetry
    out = console()
    print_summary(Summary(telemetry.summary(), telemetry.counts, "end of [stream]", False), out)
    text = out.file.getvalue()
    assert all(stage in text for stage in Telemetry.STAGES)
    assert all(column in text for column in ("p50 ms", "p99 ms", "p99.9 ms", "max ms"))
    assert "4 windows from 512 samples, 0 values held. Events: gap 2. Ended: end of [stream]." in text


def test_a_summary_without_events_says_none():
    telemetry = session_of(None).telemetry
    out = console()
    print_summary(Summary(telemetry.summary(), telemetry.counts, "stopped", False), out)
    assert "0 windows from 512 samples, 0 values held. Events: none. Ended: stopped." in out.file.getvalue()


def test_the_summary_says_what_was_held_and_that_the_clocks_differ():
    telemetry = session_of().telemetry
    out = console()
    print_summary(Summary(telemetry.summary(), telemetry.counts, "stopped", False, 17, -60.04), out)
    assert "17 values held" in out.file.getvalue()
    assert "The stream's stamps lie -60.0 s off this computer's clock" in out.file.getvalue()


@pytest.mark.parametrize(
    ("passed_over", "end"),
    [
        ((), "parity error 1.2e-07.\n"),
        (("onnx: no [onnx]\nhere", "other: slow"), "1.2e-07. Passed over: onnx: no [onnx] here; other: slow.\n"),
    ],
)
def test_the_engine_is_one_line(passed_over, end):
    out = console()
    print_engine(EngineReport("eager", "fp32", 0.123, 1.2e-7, passed_over), out)
    text = out.file.getvalue()
    assert text.startswith("Engine: eager, fp32, built in 0.12 s, parity error 1.2e-07.")
    assert text.endswith(end)
    assert text.count("\n") == 1


@pytest.mark.parametrize(("remembered", "when"), [(False, "Measured"), (True, "Measured earlier")])
def test_the_engine_line_says_what_was_measured(remembered, when):
    out = console()
    tried = (Trial("onnx", 0.04, 1e-7), Trial("eager", 0.5, 0.0))
    print_engine(EngineReport("onnx", "fp32", 0.1, 1e-7, tried=tried, remembered=remembered), out)
    assert f" {when}: onnx 0.040 ms (parity 1.0e-07), eager 0.500 ms (parity 0.0e+00)." in out.file.getvalue()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_and_the_handlers_come_back(number):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    asked = threading.Event()
    with stop_on_signals(asked.set):
        os.kill(os.getpid(), number)
        assert asked.wait(5)
    assert {n: signal.getsignal(n) for n in before} == before


def test_the_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)

    def fail():
        with stop_on_signals(lambda: None):
            raise RuntimeError("the session failed")

    with pytest.raises(RuntimeError, match="the session failed"):
        fail()
    assert signal.getsignal(signal.SIGINT) == before


def test_the_summary_tells_how_a_budget_was_kept():
    figures = BudgetFigures({"engine": 2.5, "total": 50.0}, 400, 7, {"engine": 6, "total": 2}, "skip_window", 1)
    assert budget_line(figures) == (
        "Budget (engine 2.5 ms, total 50 ms): 7 of 400 predictions missed it (engine 6, total 2). "
        "skip_window acted 1 time."
    )
    kept = BudgetFigures({"total": 50.0}, 3, 0, {}, None, 0)
    assert budget_line(kept) == "Budget (total 50 ms): 0 of 3 predictions missed it."
    age = AlgorithmicLatency(0.04, 3.0, 1.0, 0.5)
    out = console()
    print_summary(Summary({}, {"samples": 1, "predictions": 3}, "stopped", False, budget=kept, algorithmic=age), out)
    text = out.file.getvalue()
    assert "Algorithmic latency: 1.540 s = group delay 0.040 s (at 3 Hz) + half the window 1.000 s" in text
    assert budget_line(kept) in text
