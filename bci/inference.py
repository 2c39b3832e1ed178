"""How a decoder gets logits from columns: window by window, or step by step with the network's state."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from bci.engines.base import EndToEndEngine, Engine, RingEngine, StatefulEngine, TwoStepEngine
from bci.frames import FrameStage, framed
from bci.pipeline import Pipeline
from bci.ring import Ring


class Inference(Protocol):
    """What stands between the pipeline's columns and the decision."""

    n_classes: int
    """Logits of a prediction."""

    first_due: int
    """Columns after a restart at which the first prediction is due."""

    @property
    def n_pushed(self) -> int:
        """Columns since the last restart."""
        ...

    def restart(self) -> None:
        """Forget the stream."""

    def begin(self, due: int) -> None:
        """Work from now on towards the prediction after column number `due`."""

    def push(self, columns: np.ndarray) -> None:
        """Take the next columns, shape (*column_shape, n), none of them beyond the one that is due."""

    def prepare(self) -> None:
        """Compute what of the next prediction does not need the columns that still have to come."""

    def rehearse(self) -> None:
        """Run once through the next prediction with what is already here; nothing depends on it."""

    def outcome(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the logits (n_classes,) after the column that was due, and what the engine makes of them.

        The second are probabilities, None if the engine gives none; the arrays may be used again.
        """
        ...


class WindowInference:
    """Keep a window of columns and run the network over all of it.

    Parameters
    ----------
    pipeline : Pipeline
        Gives the columns and the length of a window.
    engine : Engine
        Network.
    """

    def __init__(self, pipeline: Pipeline, engine: Engine) -> None:
        self._engine = engine
        self._steps = engine if isinstance(engine, TwoStepEngine) else None
        shape, self._n_frames = pipeline.signal_out.shape, pipeline.window_frames
        self._columns = Ring(shape, self._n_frames)
        self._batch = np.zeros((1, *shape, self._n_frames), dtype=np.float32)
        self._kept: Any
        self.first_due = self._n_frames
        self.n_classes = int(engine(self._batch).shape[-1])
        self.begin(self.first_due)

    @property
    def n_pushed(self) -> int:
        """Columns since the last restart."""
        return self._columns.n_pushed

    def restart(self) -> None:
        """Forget the stream."""
        self._columns.clear()

    def begin(self, due: int) -> None:
        """Begin a new window: its columns stand elsewhere in the batch than those of the one before."""
        self._due = due
        self._staged = 0  # columns up to this number of the next window are in the batch
        self._kept = None  # what the engine made of all columns but the last few

    def push(self, columns: np.ndarray) -> None:
        """Take the next columns."""
        self._columns.push(columns)

    def prepare(self) -> None:
        """Let an engine in two steps do the first, once its columns are here."""
        steps = self._steps
        if steps is not None and self._kept is None and self.n_pushed >= self._due - steps.n_late:
            self._stage()
            self._kept = steps.early(self._batch)

    def rehearse(self) -> None:
        """Run the network; the batch gets columns that it needs anyway."""
        self.prepare()
        self._stage()
        self._infer()

    def outcome(self) -> tuple[np.ndarray, None]:
        """Return the logits of the window that is complete."""
        self._stage()
        self.prepare()
        return self._infer(), None

    def _infer(self) -> np.ndarray:
        if self._steps is None or self._kept is None:
            return self._engine(self._batch)[0]
        return self._steps.late(self._batch, self._kept)[0]

    def _stage(self) -> None:
        """Copy those columns of the next window into the batch that are here and not there yet."""
        first = self._due - self._n_frames  # of the window, counted like the columns
        stop = self.n_pushed - first
        start = max(self._staged, stop - self.n_pushed, 0)
        if stop > start:
            self._batch[0, ..., start:stop] = self._columns.newest(stop - start)
            self._staged = stop


class StepInference:
    """Give each column to the network as it comes, and keep the network's state.

    One column at a time, so that the same stream gives the same bits, however it is cut. Predictions stand where
    windows would end, and begin before the first window would be full.

    Parameters
    ----------
    pipeline : Pipeline
        Gives the columns; the length of its window is the context of the network.
    engine : StatefulEngine
        Network.
    """

    def __init__(self, pipeline: Pipeline, engine: StatefulEngine) -> None:
        self._engine = engine
        self.first_due = (pipeline.window_frames - 1) % pipeline.hop_frames + 1
        self._column = np.zeros((1, *pipeline.signal_out.shape, 1), dtype=np.float32)
        self.restart()
        self.n_classes = int(engine.step(self._column, self._state)[0].shape[-1])

    @property
    def n_pushed(self) -> int:
        """Columns since the last restart."""
        return self._n_pushed

    def restart(self) -> None:
        """Go back to the initial state."""
        self._n_pushed = 0
        self._state = self._engine.initial()
        self._logits = np.empty((1, 0), dtype=np.float32)

    def begin(self, due: int) -> None:
        """Do nothing: all columns are treated alike."""

    def push(self, columns: np.ndarray) -> None:
        """Run the network over the next columns."""
        for i in range(columns.shape[-1]):
            self._column[0, ..., 0] = columns[..., i]
            self._logits, self._state = self._engine.step(self._column, self._state)
        self._n_pushed += columns.shape[-1]

    def prepare(self) -> None:
        """Do nothing: what is here was computed when it came."""

    def rehearse(self) -> None:
        """Run the newest column through the network once more, and drop what comes out."""
        self._engine.step(self._column, self._state)

    def outcome(self) -> tuple[np.ndarray, None]:
        """Return the logits after the last column."""
        return self._logits[0], None


class EndToEndInference:
    """Put columns, or the samples of frames, where the engine reads them; it makes logits and probabilities of them.

    Parameters
    ----------
    pipeline : Pipeline
        Gives the columns and the length of a window; see `fitted`.
    engine : EndToEndEngine
        Spectrum, network and softmax.
    """

    def __init__(self, pipeline: Pipeline, engine: EndToEndEngine) -> None:
        last = pipeline.stages[-1] if pipeline.stages else None
        self._frames = last if isinstance(last, FrameStage) else None
        self.first_due = pipeline.window_frames
        if self._frames is None:
            shape = (*pipeline.signal_out.shape, pipeline.window_frames)
        else:
            shape = (*self._frames.signal_in.shape, self._frames.n_samples(pipeline.window_frames))
        self._window = engine.ring(shape) if isinstance(engine, RingEngine) else _CopiedWindow(engine, shape)
        self.n_pushed = 0
        self.n_classes = int(self._window.outcome()[0].shape[-1])

    def restart(self) -> None:
        """Forget the stream."""
        self.n_pushed = 0
        self._window.clear()

    def begin(self, due: int) -> None:
        """Do nothing: every window is read whole."""

    def push(self, columns: np.ndarray) -> None:
        """Take the next columns."""
        frames = self._frames
        self._window.push(columns if frames is None else frames.new_samples(columns, self.n_pushed == 0))
        self.n_pushed += columns.shape[-1]

    def prepare(self) -> None:
        """Do nothing: the engine has one step."""

    def rehearse(self) -> None:
        """Compute what is here, and drop what comes out."""
        self._window.outcome()

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and probabilities of the window that is complete."""
        return self._window.outcome()


class _CopiedWindow:
    """The newest window of one stream for an engine that several share, copied for each call."""

    def __init__(self, engine: EndToEndEngine, shape: tuple[int, ...]) -> None:
        self._engine = engine
        self._ring = Ring(shape[:-1], shape[-1])
        self._batch = np.zeros((1, *shape), dtype=np.float32)

    @property
    def n_pushed(self) -> int:
        """Columns since it was made or cleared."""
        return self._ring.n_pushed

    def clear(self) -> None:
        """Forget the stream."""
        self._ring.clear()

    def push(self, columns: np.ndarray) -> None:
        """Append columns."""
        self._ring.push(columns)

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Return logits and probabilities of the newest window."""
        n = min(self._ring.n_pushed, self._ring.capacity)
        self._batch[0, ..., self._ring.capacity - n :] = self._ring.newest(n)
        logits, probabilities = self._engine.outcomes(self._batch)
        return logits[0], probabilities[0]


def fitted(pipeline: Pipeline, engine: Engine | StatefulEngine) -> Pipeline:
    """Return `pipeline`, or one that leaves its last spectrum to an engine that computes it itself."""
    if isinstance(engine, EndToEndEngine) and engine.takes_signal:
        return framed(pipeline.spec).build()
    return pipeline


def inference(pipeline: Pipeline, engine: Engine | StatefulEngine) -> Inference:
    """Return how logits are got from an engine."""
    if isinstance(engine, StatefulEngine):
        return StepInference(pipeline, engine)
    return (
        EndToEndInference(pipeline, engine) if isinstance(engine, EndToEndEngine) else WindowInference(pipeline, engine)
    )
