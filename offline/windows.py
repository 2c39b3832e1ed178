"""Windows of labelled stretches, cut by column index from a recording that went through the pipeline whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bci.errors import SpecError
from bci.pipeline import Pipeline, PipelineSpec
from offline.column_classes import column_classes, earliest_starts
from offline.datasets.base import Session
from offline.feature_cache import FeatureCache


@dataclass(frozen=True, slots=True)
class SessionWindows:
    """The columns of one session, and where windows may start.

    Parameters
    ----------
    data : ndarray of float32, shape (n_channels[, n_features], n_columns)
        Output of the pipeline over the whole recording, as the network receives it.
    first, last : ndarray of int64, shape (n_stretches,)
        First and last column at which a window inside the stretch starts.
    labels : ndarray of int64, shape (n_stretches,)
        Class of each stretch.
    valid : ndarray of float32, shape (n_columns,), or None, default=None
        Share of valid samples behind each column; None if all are.
    votes : ndarray of float64, shape (n_stretches, n_classes), or None, default=None
        Votes of experts, 0 for a stretch that has only a label; None if none has any.
    scored : ndarray of int64, shape (n_stretches,), or None, default=None
        First column of the window that is scored; None takes `first`. Where windows end in a stretch, it is the first
        that lies inside, of a shorter stretch the last one.
    classes : ndarray of int8, shape (n_columns,), or None, default=None
        Class of each column, -1 where it is not judged, see `offline.column_classes`; None if windows have one label.
    """

    data: np.ndarray
    first: np.ndarray
    last: np.ndarray
    labels: np.ndarray
    valid: np.ndarray | None = None
    votes: np.ndarray | None = None
    scored: np.ndarray | None = None
    classes: np.ndarray | None = None


class WindowSet:
    """Stretches of several sessions, from which batches of windows are cut.

    Parameters
    ----------
    sessions : sequence of SessionWindows
        Where to cut.
    n_columns : int
        Length of a window, in columns.
    """

    def __init__(self, sessions: Sequence[SessionWindows], n_columns: int) -> None:
        self._sessions = tuple(sessions)
        self._n_columns = n_columns
        self._classes = [session.classes for session in sessions if session.classes is not None]
        self._session = np.repeat(np.arange(len(sessions)), [len(s.labels) for s in sessions])
        self.first = np.concatenate([s.first for s in sessions])
        self.last = np.concatenate([s.last for s in sessions])
        self.labels = np.concatenate([s.labels for s in sessions])
        self.votes = _votes(sessions)
        self.scored = np.concatenate([s.first if s.scored is None else s.scored for s in sessions])

    def __len__(self) -> int:
        """Return the number of stretches."""
        return len(self.labels)

    def cut(self, stretches: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return windows.

        Parameters
        ----------
        stretches : ndarray of int64, shape (n_windows,)
            From which stretch each comes.
        starts : ndarray of int64, shape (n_windows,)
            First column of each.

        Returns
        -------
        windows : ndarray of float32, shape (n_windows, n_channels[, n_features], n_columns)
        """
        return self._cut([session.data for session in self._sessions], stretches, starts)

    @property
    def has_classes(self) -> bool:
        """Whether columns have classes of their own."""
        return len(self._classes) == len(self._sessions)

    def classes(self, stretches: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Return the classes of the columns of windows, as `cut`: int8, shape (n_windows, n_columns)."""
        return self._cut(self._classes, stretches, starts)

    def mean_counts(self, n_classes: int) -> np.ndarray:
        """Return how many columns of each class a random window of each stretch has, in the mean.

        Returns
        -------
        counts : ndarray of float64, shape (n_stretches, n_classes)
        """
        parts = zip(self._sessions, self._classes, strict=True)
        return np.concatenate([_mean_counts(part, row, self._n_columns, n_classes) for part, row in parts])

    def _cut(self, rows: Sequence[np.ndarray], stretches: np.ndarray, starts: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                rows[self._session[i]][..., start : start + self._n_columns]
                for i, start in zip(stretches, starts, strict=True)
            ]
        )

    def batches(self, starts: np.ndarray, size: int = 64) -> Iterator[np.ndarray]:
        """Yield windows of all stretches, a few at a time: all together may be more than the memory holds.

        Parameters
        ----------
        starts : ndarray of int64, shape (n_stretches,) or (n_rounds, n_stretches)
            First column of each; `scored` for the window of every stretch that is scored: the first inside, around a
            short stretch the middle one.
        size : int, default=64
            Windows at a time.

        Yields
        ------
        windows : ndarray of float32, shape (at most size, n_channels[, n_features], n_columns)
        """
        stretches, first = np.resize(np.arange(len(self)), starts.size), starts.ravel()
        for i in range(0, len(first), size):
            yield self.cut(stretches[i : i + size], first[i : i + size])

    def n_incomplete(self) -> int:
        """Return how many of the scored windows cover samples that were missing or not finite."""
        parts = [self._sessions[i].valid for i in self._session]
        return sum(
            bool((valid[start : start + self._n_columns] < 1).any())
            for valid, start in zip(parts, self.scored, strict=True)
            if valid is not None
        )

    def random_starts(self, stretches: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a random start inside each stretch: what is learnt from."""
        return rng.integers(self.first[stretches], self.last[stretches] + 1)


def session_windows(
    pipeline: Pipeline, session: Session, cache: FeatureCache | None = None, every_column: bool = False
) -> SessionWindows:
    """Run a whole recording through a pipeline and find where windows may start.

    Parameters
    ----------
    pipeline : Pipeline
        It is reset first.
    session : Session
        Its stretches need room for at least one window each.
    cache : FeatureCache or None, default=None
        Where outputs of pipelines are kept, mapped from disk; None computes them in memory.
    every_column : bool, default=False
        Whether columns get classes. A window then need only end in its stretch; it may begin in those right before.

    Returns
    -------
    windows : SessionWindows

    Raises
    ------
    SpecError
        If a window does not fit into a stretch, nor into its context, nor ends in it where that is enough.
    """
    if cache is None:
        pipeline.reset()
        block = pipeline.process(session.read())
    else:
        block = cache.block(pipeline.spec, session.sha256, session.read)
    first, last, scored = _starts(block.last_input, pipeline, session)
    labels = np.array([stretch.label for stretch in session.stretches], dtype=np.int64)
    votes = _stretch_votes(session)
    data, classes = block.data.astype(np.float32, copy=False), None
    if every_column:
        classes = column_classes(block.last_input, session.stretches)
        first = np.minimum(first, earliest_starts(block.last_input, pipeline.window_frames, session.stretches))
    valid = block.valid if (block.valid < 1).any() else None
    return SessionWindows(data, first, last, labels, valid, votes, scored, classes)


def cut_sessions(
    spec: PipelineSpec, sessions: Sequence[Session], cache: FeatureCache | None = None, every_column: bool = False
) -> WindowSet:
    """Return the windows of several sessions, each run through the pipeline from its first sample."""
    pipeline = spec.build()
    windows = [session_windows(pipeline, session, cache, every_column) for session in sessions]
    return WindowSet(windows, pipeline.window_frames)


def require_windows(spec: PipelineSpec, sessions: Sequence[Session], window_s: float | None = None) -> None:
    """Check that a window fits into every stretch, without reading a sample.

    Parameters
    ----------
    spec : PipelineSpec
        Pipeline that can be built.
    sessions : sequence of Session
        Recordings with its signal.
    window_s : float or None, default=None
        Length of a window for the message, in seconds of signal as the user gave it.

    Raises
    ------
    SpecError
        If one does not fit.
    """
    pipeline = spec.build()
    for session in sessions:
        n = int(session.n_samples * pipeline.signal_out.sfreq / session.signal.sfreq) + 1
        last_input = pipeline.last_input(np.arange(n))
        _starts(last_input[last_input < session.n_samples], pipeline, session, window_s)


def _starts(
    last_input: np.ndarray, pipeline: Pipeline, session: Session, window_s: float | None = None
) -> tuple[np.ndarray, ...]:
    # the first column is complete once its own samples are there: that many stand behind every column
    begin = last_input - last_input[:1]
    n = pipeline.window_frames
    start = np.array([s.start for s in session.stretches], dtype=np.int64)
    stop = np.array([s.stop for s in session.stretches], dtype=np.int64)
    context = np.array([s.context for s in session.stretches], dtype=np.int64)
    first = np.searchsorted(begin, start)
    last = np.searchsorted(last_input, stop) - n
    # a window that is longer than its stretch contains it and stays inside the context
    around_first = np.maximum(np.searchsorted(begin, start - context), np.searchsorted(last_input, stop - 1) - n + 1)
    around_last = np.minimum(
        np.searchsorted(begin, start, "right") - 1, np.searchsorted(last_input, stop + context) - n
    )
    around = (last < first) & (context > 0)
    inside = first
    first, last = np.where(around, around_first, first), np.where(around, around_last, last)
    ending = np.array([-1 if s.ending is None else s.ending for s in session.stretches], dtype=np.int64)
    ends = ending >= 0
    # a stretch shorter than its ending, or than a column, has the last window that ends there
    earliest = np.searchsorted(last_input, start + ending - 1) - n + 1
    first = np.where(ends, np.maximum(np.minimum(earliest, last), 0), first)
    outside = ends & (np.searchsorted(last_input, start) == np.searchsorted(last_input, stop))
    short = np.flatnonzero((last < first) | (first < 0) | outside)
    if short.size:
        sfreq = session.signal.sfreq
        stretch = session.stretches[short[0]]
        length_s = (stretch.stop - stretch.start + 2 * stretch.context) / sfreq
        seen_s = (int(pipeline.last_input(np.array([n - 1]))[0]) + 1) / sfreq if window_s is None else window_s
        raise SpecError(
            f"A window of {seen_s:g} s must fit into every labelled stretch, {session.name} has one of {length_s:g} s, "
            f"from {stretch.start / sfreq:g} s on. Use a shorter window."
        )
    scored = np.where(around, (first + last) // 2, np.where(ends, np.minimum(np.maximum(inside, first), last), first))
    return first.astype(np.int64), last.astype(np.int64), scored.astype(np.int64)


def _mean_counts(session: SessionWindows, classes: np.ndarray, n_columns: int, n_classes: int) -> np.ndarray:
    counts = np.zeros((len(session.labels), n_classes))
    first, after = session.first, session.last + 1
    for label in range(n_classes):
        before = np.concatenate([[0], np.cumsum(classes == label, dtype=np.int64)])
        sums = np.concatenate([[0], np.cumsum(before)])  # of many windows at once: none is cut
        ends, begins = sums[after + n_columns] - sums[first + n_columns], sums[after] - sums[first]
        counts[:, label] = (ends - begins) / (after - first)
    return counts


def _stretch_votes(session: Session) -> np.ndarray | None:
    given = [stretch.votes for stretch in session.stretches]
    n_classes = next((len(votes) for votes in given if votes is not None), None)
    if n_classes is None:
        return None
    return np.array([(0.0,) * n_classes if votes is None else votes for votes in given])


def _votes(sessions: Sequence[SessionWindows]) -> np.ndarray | None:
    n_classes = next((s.votes.shape[1] for s in sessions if s.votes is not None), None)
    if n_classes is None:
        return None
    return np.concatenate([np.zeros((len(s.labels), n_classes)) if s.votes is None else s.votes for s in sessions])
