"""The events of a session are those that docs/streams.md has, with the keys that it has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bci.budget import BudgetSpec
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.errors import StreamLost
from bci.pipeline import PipelineSpec, Window
from bci.sources.base import Marker
from bci.stages.quality import ReportQuality
from tests.bci.budgeted import run as run_with_budget
from tests.bci.scripted import (
    SFREQ,
    SIGNAL,
    START_S,
    Slow,
    decoder_of,
    samples,
    session_of,
)

PASSED_ON = {"battery", "sink_failed", "sink_recovered", "sink_overflow"} | {
    "recording", "disk_full", "record_failed", "record_resumed", "record_overflow"
}  # fmt: skip
"""Kinds that sources, sinks and the recorder report; the session hands them on as they are."""


def documented():
    """Return the required keys of each kind of event, as the table in docs/streams.md has them."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "streams.md").read_text(encoding="utf-8")
    table = text.partition("| kind | required keys | when |")[2].partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    return {kind: set(re.findall(r"`(\w+)`", row[2])) for row in rows for kind in re.findall(r"`(\w+)`", row[1])}


def test_events_have_the_keys_of_the_documented_table():
    """Sessions in which everything happens; each kind that they report stands in the table, with exactly its keys."""
    found = replayed_session() | unsteady_session() | hurried_session()
    table = documented()
    assert found == {kind: table[kind] for kind in found}
    assert set(table) - PASSED_ON == set(found)


def keys(tape):
    return {event.kind: set(event.fields) for event in tape.events()}


def unsteady_session():
    """A sender that repeats itself, loses its rate, is lost, and comes back as another before it comes back itself."""

    def steps():
        for _ in range(100):
            yield samples(10)
        source.at -= 10
        yield samples(10)  # what came last comes again
        source.at += 10
        yield samples(10)
        source.at -= 20
        yield samples(10)  # what was missing comes late
        source.at += 10
        yield from [samples(10)] * 30
        source.signal = Signal(SFREQ * 1.02, SIGNAL.names)
        at, since_s = source.at, START_S + source.at / SFREQ
        source.stamp = lambda sample: since_s + (sample - at) / (1.02 * SFREQ)
        yield from [samples(10)] * 200
        yield StreamLost("The cable is out.")
        yield "offer"
        yield "offer"
        engine.seconds = 2.0
        yield from [samples(200)] * 10

    engine = Slow()
    decoder = Decoder(PipelineSpec(SIGNAL, (), Window(1.0, 0.5)).build(), engine, DecisionSpec(("a", "b")))
    other = Signal(SFREQ, ("C3", "Cz", "O1"))
    session, tape, source = session_of(steps(), decoder=decoder, offers=[other, SIGNAL], on_mismatch="wait")
    engine.clock = source.clock
    session.run()
    return keys(tape)


def replayed_session():
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    flat, dead = samples(200) * 0, samples(200) * np.float32(np.nan)

    def marker(kind, **fields):
        return Marker(kind, source.stamp(source.at), fields)

    def steps():
        yield from [samples(10)] * 5
        yield high
        yield flat
        yield dead
        yield 0.05
        yield flat
        session.command("acknowledge")
        session.command("mute", {"seconds": 3})
        yield (marker("pause"), samples(0))
        yield 2.0
        yield (marker("resume"), flat)
        yield (marker("speed", speed=1.0), flat)
        yield (marker("seek", sample=5), flat)
        yield (marker("loop"), flat)
        yield from [0.2] * 20
        yield flat
        source.stamp = lambda sample, stamp=source.stamp: stamp(sample) - 60.0
        yield flat
        session.command("stop")
        yield flat

    session, tape, source = session_of(
        steps(), decoder=decoder_of(decision, [ReportQuality(bad_after=1)]), silence_s=3.0
    )
    source.clock.now_s += 11.0  # the first samples are old
    assert session.run().ended == "stopped"
    return keys(tape)


def hurried_session():
    """A budget that is missed for a while, so that its policy acts and ends; a status has more keys with a budget."""
    budget = BudgetSpec(engine_ms=30.0, policy="skip_window", misses=2, within=4, recover=3)
    _, tape, _ = run_with_budget(budget, lambda n: 0.05 if n < 20 else 0.0)
    return {kind: fields for kind, fields in keys(tape).items() if kind.startswith("budget_")}
