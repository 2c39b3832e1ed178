"""The pipeline: one definition of preprocessing for training, evaluation, replay and live use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.chunk import Signal, samples
from bci.errors import SpecError
from bci.records import LARGEST, json_object, record_from_dict, record_to_dict, to_json
from bci.stages.base import Stage, StageSpec
from bci.stages.gate import Gate
from bci.stages.quality import QualityStage
from bci.stages.quality_detector import Change
from bci.stages.registry import stage_from_dict, stage_to_dict

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Window:
    """What a prediction sees, and how often it comes.

    Parameters
    ----------
    length_s : float
        Columns of the pipeline's output behind one prediction, as a duration in seconds.
    hop_s : float
        Time between predictions, in seconds; a whole number of output columns.
    """

    length_s: float
    hop_s: float


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """Everything between the raw samples and the network.

    Parameters
    ----------
    signal : Signal
        What goes in: rate, channels in order, unit.
    stages : tuple of stage specs
        Applied in order.
    window : Window
        How the output is cut for the network.
    reference_hz : float, default=10.0
        Frequency at which delays are declared (3 Hz for seizures).
    """

    signal: Signal
    stages: tuple[StageSpec, ...]
    window: Window
    reference_hz: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.reference_hz < np.inf:
            raise SpecError(f"A pipeline needs reference_hz > 0 Hz to declare its delay, got {self.reference_hz:g}.")
        if self.signal.n_features is not None:
            raise SpecError(f"A pipeline starts from a plain signal, got frames of {self.signal.n_features} features.")

    def build(self) -> Pipeline:
        """Check every stage against the signal that reaches it, and return the running pipeline."""
        return Pipeline(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "signal": record_to_dict(self.signal),
            "stages": [stage_to_dict(spec) for spec in self.stages],
            "window": record_to_dict(self.window),
            "reference_hz": float(self.reference_hz),
        }

    def to_json(self) -> str:
        """Return the canonical JSON text."""
        return to_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> PipelineSpec:
        """Return the spec that `text` describes.

        Raises
        ------
        SpecError
            If the text is not JSON, of another schema, or has unknown, missing or mistyped fields.
        """
        record = json_object(text, "A pipeline")
        keys = {"schema", "signal", "stages", "window", "reference_hz"}
        if set(record) != keys or not isinstance(record["stages"], list):
            raise SpecError(f"A pipeline needs the fields {', '.join(sorted(keys))}, got {', '.join(sorted(record))}.")
        if type(record["schema"]) is not int or record["schema"] != SCHEMA:
            raise SpecError(
                f"A pipeline needs schema {SCHEMA}, got {record['schema']!r}. Use the toolkit version that wrote it."
            )
        reference = record["reference_hz"]
        if isinstance(reference, bool) or not isinstance(reference, int | float) or abs(reference) > LARGEST:
            raise SpecError(f"reference_hz must be a number, got {reference!r}.")
        return cls(
            record_from_dict(Signal, record["signal"], "signal"),
            tuple(stage_from_dict(stage) for stage in record["stages"]),
            record_from_dict(Window, record["window"], "window"),
            float(reference),
        )

    def sha256(self) -> str:
        """Return the hash of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Block:
    """Output columns with what is known about each.

    Parameters
    ----------
    data : ndarray of float64, shape (*signal_out.shape, n_columns)
        The columns.
    valid : ndarray of float32, shape (n_columns,)
        Share of valid samples among the raw samples that are new in the column.
    last_input : ndarray of int64, shape (n_columns,)
        Index of the last raw sample behind the column, counted from the last reset.
    n_new : ndarray of int64, shape (n_columns,)
        How many raw samples are new in the column; 0 where the rate goes up and several columns share one.
    """

    data: np.ndarray
    valid: np.ndarray
    last_input: np.ndarray
    n_new: np.ndarray


@dataclass(slots=True)
class Tap:
    """What the last call of `Pipeline.process` put out after some of its stages, and at its end.

    Parameters
    ----------
    n_stages : int
        Stages before the tap.
    signal : Signal
        What comes out there.
    data : ndarray of float64, shape (*signal.shape, n_columns)
        The columns there.
    last_input : ndarray of int64, shape (n_columns,)
        Index of the last raw sample behind each, counted from the last reset.
    block : Block
        Output of the whole pipeline.
    first_input : int
        Index of the call's first raw sample.
    """

    n_stages: int
    signal: Signal
    data: np.ndarray
    last_input: np.ndarray
    block: Block
    first_input: int = 0


class Pipeline:
    """Stages in a row behind a gate, with validity and evidence indices beside the data.

    Parameters
    ----------
    spec : PipelineSpec
        Settings.

    Attributes
    ----------
    signal_in, signal_out : Signal
        Before and after.
    window_frames, hop_frames : int
        Window and hop of the predictions, in output columns.
    lead_frames : int
        Columns before a window whose new samples the first column of the window still contains.
    stage_s : ndarray of float64, shape (n_stages + 1,)
        Seconds spent in the gate and in each stage by the last timed call of `process`.
    tap : Tap or None
        Set by `tap_after`.
    n_in : int
        Raw samples since the last reset.

    Raises
    ------
    SpecError
        If a stage or the window does not fit what reaches it, or channel quality is judged twice or not on the raw
        channels at their rate.
    """

    def __init__(self, spec: PipelineSpec) -> None:
        self.spec = spec
        self.gate = Gate(spec.signal)
        self.stages: list[Stage] = []
        signal = spec.signal
        for stage_spec in spec.stages:
            self.stages.append(stage_spec.build(signal))
            signal = self.stages[-1].signal_out
        self._quality = _quality_stage(self.stages, spec.signal)
        self.signal_in, self.signal_out = spec.signal, signal
        self.window_frames = samples(spec.window.length_s, signal.sfreq, "The window length")
        self.hop_frames = samples(spec.window.hop_s, signal.sfreq, "The hop of predictions")
        if self.window_frames < 1 or self.hop_frames < 1:
            raise SpecError(
                f"The window and its hop need at least one column of {1 / signal.sfreq:g} s, "
                f"got length_s={spec.window.length_s:g}, hop_s={spec.window.hop_s:g}."
            )
        self.stage_s = np.zeros(len(self.stages) + 1)
        # the others keep the index
        self._renumbering = [s for s in reversed(self.stages) if type(s).last_input is not Stage.last_input]
        self.tap: Tap | None = None
        needed, following = self.last_input(np.arange(2)) + 1
        self.lead_frames = -(-int(needed) // max(1, int(following - needed))) - 1
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream and a new grid of columns."""
        for stage in (self.gate, *self.stages):
            stage.reset()
        self._n_out = 0
        self.n_in = 0
        self._n_tapped = 0
        self._pending = np.empty(0, dtype=bool)  # validity of samples that no column covers yet

    def tap_after(self, n_stages: int) -> Tap:
        """Keep from now on what each call puts out after the first `n_stages` stages; call it before any sample."""
        signal = self.stages[n_stages - 1].signal_out if n_stages else self.signal_in
        none = np.empty(0, np.int64)
        nothing = Block(np.empty((*self.signal_out.shape, 0)), np.empty(0, np.float32), none, none)
        self.tap = Tap(n_stages, signal, np.empty((*signal.shape, 0)), nothing.last_input, nothing)
        return self.tap

    def process(
        self, x: np.ndarray, filled: np.ndarray | None = None, timer: Callable[[], float] | None = None
    ) -> Block:
        """Process the next samples of the stream.

        Parameters
        ----------
        x : ndarray, shape (n_channels, n_samples)
            Raw samples; NaN and infinities are held and marked.
        filled : ndarray of bool, shape (n_samples,), or None, default=None
            True where a sample was made up to fill a gap.
        timer : callable or None, default=None
            Clock for `stage_s`; None leaves it alone.

        Returns
        -------
        block : Block
            Columns that became complete; possibly none.
        """
        tick = timer or _no_time
        start = tick()
        y, valid = self.gate.admit(x)
        n_before_tap = -1 if self.tap is None else self.tap.n_stages
        half = y if n_before_tap == 0 else None
        for i, stage in enumerate(self.stages):
            done = tick()
            self.stage_s[i] = done - start
            start = done
            if stage is self._quality:
                y, valid = self._quality.mark(y, self.gate.finite)
            else:
                y = stage.process(y)
            if i + 1 == n_before_tap:
                half = y
        self.stage_s[-1] = tick() - start
        if filled is not None:
            valid &= ~filled
        n_columns = y.shape[-1]
        last = self.last_input(np.arange(self._n_out - 1, self._n_out + n_columns))
        self._n_out += n_columns
        block = Block(y, self._cover(valid, last), last[1:], last[1:] - last[:-1])
        if self.tap is not None and half is not None:
            self._fill(self.tap, half, block, self.n_in - x.shape[-1])
        return block

    def _fill(self, tap: Tap, half: np.ndarray, block: Block, first_input: int) -> None:
        n_columns = half.shape[-1]
        index = np.arange(self._n_tapped, self._n_tapped + n_columns)
        self._n_tapped += n_columns
        for stage in reversed(self.stages[: tap.n_stages]):
            index = stage.last_input(index)
        tap.data, tap.last_input, tap.block, tap.first_input = half, index, block, first_input

    def _cover(self, valid: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the valid share of the raw samples that are new in each column.

        Parameters
        ----------
        valid : ndarray of bool
            Validity of the samples that have just come.
        last : ndarray of int64, shape (n_columns + 1,)
            Last sample behind the column before the new ones and behind each new one.
        """
        pending = np.concatenate([self._pending, valid])
        first = self.n_in - len(self._pending)
        self.n_in += len(valid)
        if len(last) == 1:
            self._pending = pending
            return np.empty(0, dtype=np.float32)
        self._pending = pending[max(0, int(last[-1]) - first) :]
        if pending.all():
            return np.ones(len(last) - 1, dtype=np.float32)
        good = np.concatenate([[0], np.cumsum(pending)])
        stop = last[1:] + 1 - first
        # where the rate goes up, several columns share one sample
        begin = np.clip(np.minimum(last[:-1] + 1 - first, stop - 1), 0, None)
        return ((good[stop] - good[begin]) / (stop - begin)).astype(np.float32)

    def last_input(self, n_out: np.ndarray) -> np.ndarray:
        """Return the index of the last raw sample behind each output column; -1 stands before the first."""
        index = n_out
        for stage in self._renumbering:
            index = np.where(index < 0, -1, stage.last_input(np.maximum(index, 0)))
        return index

    def delay_s(self, hz: float | None = None) -> float:
        """Return the summed delay of the stages at `hz` (default: the declared reference), in seconds."""
        at = self.spec.reference_hz if hz is None else hz
        return sum(stage.delay_s(at) for stage in self.stages)

    @property
    def warmup_s(self) -> float:
        """Seconds after a reset until outputs can be trusted: the sum over the stages."""
        return sum(stage.warmup_s for stage in self.stages)

    def changes(self) -> list[Change]:
        """Return the channels that turned bad or good since the last call, in order; empty if no stage judges them."""
        return [] if self._quality is None else self._quality.changes()

    @property
    def bad_channels(self) -> tuple[str, ...]:
        """Names of the channels that are bad from the next sample on."""
        return () if self._quality is None else self._named(self._quality.bad)

    @property
    def doubtful_channels(self) -> tuple[str, ...]:
        """Names of the good channels that broke a limit in the last hop."""
        return () if self._quality is None else self._named(self._quality.doubtful)

    def _named(self, which: np.ndarray) -> tuple[str, ...]:
        return tuple(self.signal_in.names[i] for i in np.flatnonzero(which))

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered; assign it to go back to that moment."""
        return {
            "gate": self.gate.state,
            "stages": [stage.state for stage in self.stages],
            "n_out": self._n_out,
            "n_in": self.n_in,
            "n_tapped": self._n_tapped,
            "pending": self._pending.copy(),
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.gate.state = state["gate"]
        for stage, remembered in zip(self.stages, state["stages"], strict=True):
            stage.state = remembered
        self._n_out, self.n_in, self._n_tapped = state["n_out"], state["n_in"], state["n_tapped"]
        self._pending = state["pending"].copy()


def window_starts(n_columns: int, pipeline: Pipeline) -> np.ndarray:
    """Return the first column of every complete window in `n_columns` columns, as int64."""
    return np.arange(0, n_columns - pipeline.window_frames + 1, pipeline.hop_frames)


def _quality_stage(stages: list[Stage], signal: Signal) -> QualityStage | None:
    """Return the stage that judges channels; what is said of samples and channels must hold for the raw ones."""
    found = [stage for stage in stages if isinstance(stage, QualityStage)]
    if not found:
        return None
    if len(found) > 1 or found[0].signal_in != signal:
        raise SpecError(
            f"A pipeline judges channel quality once, on all channels of its signal at {signal.sfreq:g} Hz, "
            f"got {len(found)} such stages, the first on {found[0].signal_in.n_channels} of {signal.n_channels} "
            f"channels in {found[0].signal_in.unit} at {found[0].signal_in.sfreq:g} Hz. Put one first."
        )
    return found[0]


def _no_time() -> float:
    return 0.0
