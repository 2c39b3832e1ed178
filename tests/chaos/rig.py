"""One session against one faulty sender in a process of its own, and all that can be known of it afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pylsl

from apps.bench.counted import COUNTER, DECISION, EEG, PowerEngine
from bci.decision import State
from bci.decoder import Decoder, Prediction
from bci.errors import BciError
from bci.events import Event
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.recorder import Recorder, RecordingName
from bci.session import Session, SessionSettings, Summary
from bci.sources.lsl_source import LslSource
from bci.sources.recording import open_recording
from bci.stages.filters import Bandpass
from bci.stages.quality import MaskBad

WINDOW_S, HOP_S = 1.0, 0.25
SPEED = 4.0
SECONDS = 32.0
SEIZURE = (16.0, 24.0)
SILENCE_S = 0.5
PATIENCE_S = 60.0
END_S = 20.0  # for a sender to leave after the session
# judged four times a second, so that an artefact is known as one before an alarm can be raised, and distrusted for
# longer than the filter rings; the noise is white
QUALITY = MaskBad(hop_s=0.25, bad_after=1, good_after=16, min_valid_channels=2, max_high_ratio=100.0)


def decoder() -> Decoder:
    """Return the decoder of all scenarios."""
    pipeline = PipelineSpec(EEG, (QUALITY, Bandpass(1.0, 40.0)), Window(WINDOW_S, HOP_S))
    return Decoder(pipeline.build(), PowerEngine(), DECISION, pylsl.local_clock)


class Tape:
    """Recorder and sink: every sample as it arrived, every prediction, every event; and the real recorder behind it."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.counts: list[np.ndarray] = []
        self.stamps: list[np.ndarray] = []
        self.arrivals: list[tuple[float, int]] = []
        self.predictions: list[Prediction] = []
        self.events: list[Event] = []

    def open(self, info: Any) -> None:
        if hasattr(info, "signal"):  # the description of a stream; a sink gets that of the session
            self._row = info.signal.names.index(COUNTER)
            self.recorder.open(info)

    def samples(self, received: Any) -> None:
        self.recorder.samples(received)
        self.counts.append(received.data[self._row].astype(np.int64))
        self.stamps.append(received.times.copy())
        self.arrivals.append((received.received_s, received.times.size))

    def prediction(self, output: Any) -> None:
        self.predictions.append(output.prediction)

    def event(self, event: Event) -> None:
        event.to_json()
        self.events.append(event)

    def close(self) -> None:
        self.recorder.close()

    def recorded(self) -> np.ndarray:
        """Return the counter in all files of the recording, in order, where something was recorded."""
        counts = [np.empty(0, np.int64)]
        for path in self.recorder.recorded().paths:
            recording = open_recording(path, picks="all")
            row, kept = recording.signal.names.index(COUNTER), np.ones(recording.n_samples, dtype=bool)
            for start, stop in recording.gaps:
                kept[start:stop] = False
            counts.append(recording.read(0, recording.n_samples)[row, kept].astype(np.int64))
            recording.close()
        return np.concatenate(counts)


@dataclass
class Outcome:
    """What was sent, what went wrong on purpose, and what the session made of it."""

    tape: Tape
    summary: Summary | None
    error: BciError | None
    injected: list[dict[str, Any]]
    exit_codes: list[int]
    counts: np.ndarray = field(init=False)
    stamps: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.concatenate([np.empty(0, np.int64), *self.tape.counts])
        self.stamps = np.concatenate([np.empty(0), *self.tape.stamps])

    def events(self, *kinds: str) -> list[Event]:
        return [event for event in self.tape.events if event.kind in kinds]

    def kinds(self) -> dict[str, int]:
        """Return how many events there were of each kind, but for what comes in every session."""
        usual = ("status", "ended", "alarm_on", "alarm_off", "recording")
        return dict(Counter(event.kind for event in self.tape.events if event.kind not in usual))

    def lost(self, *kinds: str) -> np.ndarray:
        """Return the numbers of the samples that the sender did not send, by its own log."""
        spans = [np.arange(i["sample"], i["sample"] + i["n_samples"]) for i in self.injected if i["kind"] in kinds]
        return np.concatenate([np.empty(0, np.int64), *spans])

    def gaps(self) -> list[tuple[int, float, float]]:
        """Return what the counter says was lost on the way: how many, and the stamps before and after."""
        steps = np.diff(self.counts)
        return [(int(steps[i]) - 1, self.stamps[i], self.stamps[i + 1]) for i in np.flatnonzero(steps > 1)]

    def misnumbered(self) -> list[tuple[int, int]]:
        """Return the predictions whose last sample has another number than the counter says: (number, counter)."""
        counter = dict(zip(self.stamps.tolist(), self.counts.tolist(), strict=True))
        numbers = [(p.last_sample, counter.get(p.time, p.last_sample)) for p in self.tape.predictions]
        return [(number, true) for number, true in numbers if number != true]

    def usable(self) -> float:
        """Return the share of the predictions, after the first that had settled, that can be acted upon."""
        states = [p.state for p in self.tape.predictions]
        settled = states[next(i for i, state in enumerate(states) if state is not State.SETTLING) :]
        return float(np.mean([state in (State.OK, State.WARNING, State.ALARM) for state in settled]))


@dataclass(frozen=True)
class Scenario:
    """What happens to a sender, and how the session is set."""

    faults: tuple[str, ...] = ()
    seed: int = 0
    seizure: tuple[float, float] | None = SEIZURE
    seconds: float = SECONDS
    speed: float = SPEED
    settings: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    successor: tuple[str, ...] | None = None  # arguments of a sender that is started when the first one has gone

    def play(self, folder: Path) -> Outcome:
        """Run the scenario to its end."""
        name = f"chaos-{uuid.uuid4().hex[:8]}"
        log = folder / f"{name}.jsonl"
        tape = Tape(Recorder(folder / name, RecordingName(), pylsl.local_clock))
        arguments = [name, f"--seconds={self.seconds}", f"--speed={self.speed}"]
        if self.seizure is not None:
            arguments += ["--seizure", *map(str, self.seizure)]
        faults = [f"--fault={fault}" for fault in self.faults]
        command = [sys.executable, "-m", "tests.chaos.sender", *arguments]
        senders = [start([*command, *faults, f"--fault-seed={self.seed}", f"--fault-log={log}"])]
        settings = SessionSettings(
            name, **{"silence_s": SILENCE_S, "start_timeout_s": 30.0, "overload": "all"} | self.settings
        )
        session = Session(
            LslSource(name, resolve_timeout_s=30.0, **self.source),
            decoder(),
            Identity("power", "00" * 32, "power", "fp64"),
            settings,
            None,
            [tape],
            pylsl.local_clock,
            recorder=tape,
            watches=[tape.recorder.events],
        )
        follower = threading.Thread(target=self._follow, args=(senders, command))
        follower.start()
        patience = threading.Timer(
            PATIENCE_S, session.stop
        )  # a session that waits for ever fails its test, not the run
        patience.start()
        summary, error = None, None
        try:
            summary = session.run()
        except BciError as caught:
            error = caught
        finally:
            patience.cancel()
            follower.join()
            codes = [end(sender) for sender in senders]
        injected = [json.loads(line) for line in log.read_text().splitlines()[1:]] if log.exists() else []
        return Outcome(tape, summary, error, injected, codes)

    def _follow(self, senders: list[subprocess.Popen[bytes]], command: list[str]) -> None:
        """Start the successor when the first sender has gone."""
        if self.successor is not None:
            senders[0].wait()
            senders.append(start([*command, *self.successor]))


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start a sender."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a sender that should leave by itself, and see to it that it has."""
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        raise
