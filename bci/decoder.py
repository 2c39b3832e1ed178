"""The decoder: pipeline, engine and decision, without threads, clock or I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from bci.alarm import QUIET, AlarmFlags
from bci.chunk import Chunk, Signal
from bci.decision import Decision, DecisionSpec, State
from bci.engines.base import EndToEndEngine, Engine, StatefulEngine, WarmEngine
from bci.errors import SpecError
from bci.inference import fitted, inference
from bci.pipeline import Block, Pipeline, Window
from bci.ring import Ring


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the time of a prediction went, in seconds.

    Parameters
    ----------
    filter_s : float
        Gate and all stages before the features, for the chunk that completed the window.
    features_s : float
        Feature stages, likewise.
    engine_s : float
        Copying the window and running the network; with state, over the chunk that completed the window.
    decision_s : float
        Calibration, smoothing and alarm.
    """

    filter_s: float
    features_s: float
    engine_s: float
    decision_s: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """One output of the decoder.

    Parameters
    ----------
    index : int
        Number of the prediction since the decoder was made.
    last_sample : int
        Index in the stream of the last input sample used.
    time : float
        Time of that sample, in the clock of the chunk's times, in seconds.
    logits, probabilities : ndarray, shape (n_classes,)
        Output of the network, and calibrated.
    quality : float
        Valid share of the window, 0 to 1.
    state : State
        State of the monitor after this prediction.
    changed : str or None
        ``alarm_on``, ``alarm_off``, ``fault`` or None.
    level : float
        Smoothed probability of the watched class.
    ledger : Ledger
        Where the time went; zeros without a timer.
    alarm : AlarmFlags
        What holds beside the state: an alarm that is held, latched, acknowledged, muted.
    """

    index: int
    last_sample: int
    time: float
    logits: np.ndarray
    probabilities: np.ndarray
    quality: float
    state: State
    changed: str | None
    level: float
    ledger: Ledger
    alarm: AlarmFlags = QUIET


class Decoder:
    """Turn chunks into predictions; the same chunks give the same predictions, however they are cut.

    Parameters
    ----------
    pipeline : Pipeline
        Preprocessing.
    engine : Engine or StatefulEngine
        Network.
    decision : DecisionSpec
        What its output means.
    timer : callable or None, default=None
        Clock for the ledgers, in seconds; the decoder has none of its own.

    Attributes
    ----------
    pipeline : Pipeline
        The one that runs: another than was given if the engine computes its last spectrum itself.

    Raises
    ------
    SpecError
        If the network's output does not fit the classes.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        engine: Engine | StatefulEngine,
        decision: DecisionSpec,
        timer: Callable[[], float] | None = None,
    ) -> None:
        self.pipeline = pipeline = fitted(pipeline, engine)
        self.engine = engine
        self.decision = Decision(decision, pipeline.spec.window.hop_s)
        self._timer = timer
        self._warm = engine.keep_warm if isinstance(engine, WarmEngine) else None
        self._inference = inference(pipeline, engine)
        self._calibrated = isinstance(engine, EndToEndEngine) and engine.temperature == decision.temperature
        self._stored_s = 0.0  # spent on columns since the last prediction, or in this push
        self._seen = Ring((2,), pipeline.lead_frames + pipeline.window_frames)  # valid and all new samples of a column
        self._n_filters = 1 + n_plain_stages(pipeline)
        self._warmup = int(np.ceil(pipeline.warmup_s * pipeline.signal_in.sfreq))
        if self._inference.n_classes != len(decision.classes):
            raise SpecError(
                f"The decision names {len(decision.classes)} classes ({', '.join(decision.classes)}), "
                f"the network gives {self._inference.n_classes} logits. The bundle's parts do not belong together."
            )
        self._twin = None if isinstance(engine, _Constant) else _Twin(pipeline, decision, timer)
        self.n_predictions = self.n_skipped = 0
        self.reset()

    @property
    def signal_in(self) -> Signal:
        """What the decoder is fed."""
        return self.pipeline.signal_in

    def reset(self) -> None:
        """Forget the stream: filters, window, alarm; the count of predictions goes on."""
        self._restart(None)
        self.decision.reset()

    def _restart(self, first_sample: int | None) -> None:
        """Start the pipeline and the grid of windows again at sample `first_sample`."""
        self.pipeline.reset()
        self._inference.restart()
        self._seen.clear()
        self._first_sample = first_sample
        self._next_sample = first_sample
        self._due = self._inference.first_due  # column count at which the next prediction is due
        self._inference.begin(self._due)
        self._settled_from: int | None = None  # first column after the warm-up

    def restart(self) -> None:
        """Take the next chunk as one after a gap: filters and window start anew, a running alarm is held."""
        self._next_sample = None

    def push(self, chunk: Chunk, since: int = 0) -> list[Prediction]:
        """Take the next chunk and return the predictions that it completes.

        A chunk that does not follow the one before resets the pipeline and starts a new grid of windows; a running
        alarm is held over the gap. Windows that end before sample `since` are not computed; they keep their index, and
        `n_skipped` counts them. A network with state sees their columns nevertheless.
        """
        if chunk.n_samples == 0:
            return []
        if chunk.first_sample != self._next_sample:
            self._restart(chunk.first_sample)
            self.decision.restart()
        self._next_sample = chunk.first_sample + chunk.n_samples
        block = self.pipeline.process(chunk.data, chunk.filled, self._timer)
        predictions = []
        self._stored_s = 0.0
        taken = 0
        n_columns = block.data.shape[-1]
        while taken < n_columns:
            stop = min(n_columns, taken + self._due - self._inference.n_pushed)
            self._store(block, taken, stop)
            taken = stop
            if self._inference.n_pushed == self._due:
                last_input = int(block.last_input[stop - 1])
                if (self._first_sample or 0) + last_input < since:
                    self.n_predictions += 1
                    self.n_skipped += 1
                else:
                    predictions.append(self._predict(chunk, last_input))
                self._due += self.pipeline.hop_frames
                self._inference.begin(self._due)
        return predictions

    @property
    def n_missing(self) -> int:
        """Samples that must still come before the next prediction; at least 1."""
        if self._first_sample is None or self._next_sample is None:
            return int(self.pipeline.last_input(np.array([self._due - 1]))[0]) + 1
        n_taken = self._next_sample - self._first_sample
        return int(self.pipeline.last_input(np.array([self._due - 1]))[0]) + 1 - n_taken

    def prepare(self) -> None:
        """Compute what of the next prediction does not need the samples that still have to come.

        No prediction depends on when this is called, or whether: what it leaves out is computed when the window is
        complete, by the same two steps of the engine.
        """
        self._inference.prepare()

    def rehearse(self) -> None:
        """Run once through the next prediction with what is already here, so that it finds a warm processor.

        No prediction depends on it: a twin does all but the network, and the batch gets columns that it needs anyway.
        """
        if self._twin is not None:
            self._twin.push()
        self._inference.rehearse()

    def keep_warm(self) -> None:
        """Keep the engine's device fast, if it slows down when nothing is asked of it; no prediction depends on it."""
        if self._warm is not None:
            self._warm()

    def _store(self, block: Block, start: int, stop: int) -> None:
        if self._settled_from is None:
            settled = np.flatnonzero(block.last_input[start:stop] >= self._warmup)
            if settled.size:
                self._settled_from = self._inference.n_pushed + int(settled[0])
        tick = self._timer or _no_time
        began = tick()
        self._inference.push(block.data[..., start:stop])
        self._stored_s += tick() - began
        n_new = block.n_new[start:stop]
        self._seen.push(np.stack([block.valid[start:stop] * n_new, n_new]))

    def _predict(self, chunk: Chunk, last_input: int) -> Prediction:
        tick = self._timer or _no_time
        n_frames = self.pipeline.window_frames
        start = tick()
        logits, probabilities = self._inference.outcome()
        computed = tick()
        engine_s, self._stored_s = computed - start + self._stored_s, 0.0
        n_valid, n_seen = self._seen.newest(min(self._inference.n_pushed, self._seen.capacity)).sum(axis=-1)
        quality = float(n_valid / n_seen)
        settled = self._settled_from is not None and self._inference.n_pushed - n_frames >= self._settled_from
        last_sample = (self._first_sample or 0) + last_input
        at_s = last_sample / self.signal_in.sfreq
        verdict = self.decision.step(logits, quality, settled, at_s, probabilities if self._calibrated else None)
        stage_s = self.pipeline.stage_s
        self.n_predictions += 1
        return Prediction(
            index=self.n_predictions - 1,
            last_sample=last_sample,
            time=float(chunk.times[last_sample - chunk.first_sample]),
            logits=logits.copy(),
            probabilities=verdict.probabilities,
            quality=quality,
            state=verdict.state,
            changed=verdict.changed,
            level=verdict.level,
            ledger=Ledger(
                float(stage_s[: self._n_filters].sum()),
                float(stage_s[self._n_filters :].sum()),
                engine_s,
                tick() - computed,
            ),
            alarm=verdict.alarm,
        )


class _Twin:
    """A decoder of silence with a network of constants: every push passes through what a prediction passes through."""

    def __init__(self, pipeline: Pipeline, decision: DecisionSpec, timer: Callable[[], float] | None) -> None:
        column_s = 1.0 / pipeline.signal_out.sfreq
        spec = replace(pipeline.spec, window=Window(column_s, column_s))
        self._decoder = Decoder(spec.build(), _Constant(len(decision.classes)), decision, timer)
        n_samples = max(1, int(np.diff(pipeline.last_input(np.arange(2)))[0]))  # enough for one column
        self._silence = np.zeros((pipeline.signal_in.n_channels, n_samples), dtype=np.float32)
        self._times = np.zeros(n_samples)
        self._n_pushed = 0

    def push(self) -> None:
        self._decoder.push(Chunk(self._silence, self._n_pushed, self._times))
        self._n_pushed += self._times.size


class _Constant:
    """An engine that computes nothing."""

    name, precision = "constant", "fp32"

    def __init__(self, n_classes: int) -> None:
        self._logits = np.zeros((1, n_classes), dtype=np.float32)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._logits


def n_plain_stages(pipeline: Pipeline) -> int:
    """Return how many stages run before the first that makes features."""
    for i, stage in enumerate(pipeline.stages):
        if stage.signal_out.n_features is not None:
            return i
    return len(pipeline.stages)


def _no_time() -> float:
    return 0.0
