"""One engine for several streams: what waits when the engine is free runs as one batch."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from bci.engines.base import EndToEndEngine, Engine, StatefulEngine, TwoStepEngine, WarmEngine
from bci.errors import EngineError

MAX_WINDOWS = 64
"""Most windows of one batch; a GPU's largest graph has as many."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Ticket(Generic[Item, Result]):
    """What one thread waits for."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.results: list[Result] = []  # one, when it has been computed
        self.broken = False
        self.called = threading.Event()


class Turns(Generic[Item, Result]):
    """Lets many threads share what only one may use at a time, and joins what they bring meanwhile.

    No thread of its own: who finds it free computes at once; who finds it busy waits, and when it becomes free, the
    first of those who wait computes for all of them. Nobody waits for more to come.

    Parameters
    ----------
    compute : callable
        Takes a list of items, returns as many results; called by one thread at a time.
    most : int
        Most items of one call.

    Attributes
    ----------
    sizes : Counter of int
        Calls by number of items.
    n_calls : int
        All of them.
    """

    def __init__(self, compute: Callable[[list[Item]], Sequence[Result]], most: int) -> None:
        self._compute, self._most = compute, most
        self._lock = threading.Lock()  # guards all below; held for microseconds
        self._waiting: deque[_Ticket[Item, Result]] = deque()
        self._busy = False
        self.sizes: Counter[int] = Counter()
        self.n_calls = 0

    def take(self, item: Item) -> Result:
        """Return the result for `item`, together with what others bring at the same time.

        Raises
        ------
        EngineError
            If the call failed that another thread made for this one too; that thread has its error.
        """
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            waits, self._busy = self._busy, True
        if waits:
            ticket.called.wait()
        if ticket.broken:
            raise EngineError(
                "An engine must answer every stream, it failed in a batch with another one. See that stream's error."
            )
        return ticket.results[0] if ticket.results else self._lead()

    def between(self, act: Callable[[], None]) -> bool:
        """Call `act` if nobody computes now; return whether it was."""
        with self._lock:
            if self._busy:
                return False
            self._busy = True
        try:
            act()
        finally:
            self._hand_on()
        return True

    def _lead(self) -> Result:
        """Compute for all who wait, the caller first among them."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            self.sizes[len(batch)] += 1
            self.n_calls += 1
        try:
            results: Sequence[Result] = self._compute([ticket.item for ticket in batch])
            for ticket, result in zip(batch, results, strict=True):
                ticket.results.append(result)
        finally:
            self._hand_on()
            for ticket in batch[1:]:
                ticket.broken = not ticket.results
                ticket.called.set()
        return batch[0].results[0]

    def _hand_on(self) -> None:
        """Call the first of those who wait, or leave it free."""
        with self._lock:
            first = self._waiting[0] if self._waiting else None
            self._busy = first is not None
        if first is not None:
            first.called.set()


class BatchedEngine:
    """An engine that several threads call, each with the windows of its stream; see `Turns`.

    Parameters
    ----------
    engine : Engine
        Called by one thread at a time.
    max_windows : int, default=MAX_WINDOWS
        Most calls that are joined.
    """

    def __init__(self, engine: Engine, max_windows: int = MAX_WINDOWS) -> None:
        self.name, self.precision = engine.name, engine.precision
        self._engine = engine
        self._n_calls = 0  # when it was last asked to keep warm
        self.turns: Turns[np.ndarray, Any] = Turns(self._compute, max_windows)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self.turns.take(batch)

    @property
    def sizes(self) -> Counter[int]:
        """Calls of the engine, by number of streams that were joined."""
        return self.turns.sizes

    def keep_warm(self) -> None:
        """Keep the engine's device fast, if it needs that and nobody has computed since the last time."""
        if isinstance(self._engine, WarmEngine) and self.turns.n_calls == self._n_calls:
            self.turns.between(self._engine.keep_warm)
        self._n_calls = self.turns.n_calls  # hundreds of beds ask: what they compute keeps it warm already

    def _compute(self, batches: list[np.ndarray]) -> list[Any]:
        if len(batches) == 1:
            return [self._engine(batches[0])]
        logits = self._engine(np.concatenate(batches))
        return [logits[span] for span in _spans(batches)]


class BatchedEndToEndEngine(BatchedEngine):
    """An engine from signals or columns to probabilities that several threads call; see `Turns`.

    It offers no ring: the windows of a batch must lie in one piece, and each stream's lie elsewhere.

    Parameters
    ----------
    engine : EndToEndEngine
        Called by one thread at a time.
    max_windows : int, default=MAX_WINDOWS
        Most calls that are joined.
    """

    def __init__(self, engine: EndToEndEngine, max_windows: int = MAX_WINDOWS) -> None:
        super().__init__(engine, max_windows)
        self.takes_signal, self.temperature = engine.takes_signal, engine.temperature
        self._outcomes = engine.outcomes

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self.outcomes(batch)[0]

    def outcomes(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32, and probabilities, float64, of a batch of windows."""
        logits, probabilities = self.turns.take(batch)
        return logits, probabilities

    def _compute(self, batches: list[np.ndarray]) -> list[Any]:
        logits, probabilities = self._outcomes(batches[0] if len(batches) == 1 else np.concatenate(batches))
        return [(logits[span], probabilities[span]) for span in _spans(batches)]


class BatchedTwoStepEngine:
    """An engine in two steps that several threads call; both steps join what waits; see `Turns`.

    Parameters
    ----------
    engine : TwoStepEngine
        Called by one thread at a time.
    max_windows : int, default=MAX_WINDOWS
        Most calls that are joined.

    Attributes
    ----------
    sizes : Counter of int
        Second steps, by number of streams that were joined.
    """

    def __init__(self, engine: TwoStepEngine, max_windows: int = MAX_WINDOWS) -> None:
        self.name, self.precision, self.n_late = engine.name, engine.precision, engine.n_late
        self._engine = engine
        self.turns: Turns[tuple[np.ndarray, Any], Any] = Turns(self._compute, max_windows)
        self.sizes: Counter[int] = Counter()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self.late(batch, self.early(batch))

    def early(self, batch: np.ndarray) -> Any:
        """Begin with all but the last `n_late` columns."""
        return self.turns.take((batch, None))

    def late(self, batch: np.ndarray, kept: Any) -> np.ndarray:
        """Return the logits."""
        return self.turns.take((batch, kept))

    def _compute(self, items: list[tuple[np.ndarray, Any]]) -> list[Any]:
        if len(items) == 1:
            batch, kept = items[0]
            self.sizes[1] += kept is not None
            return [self._engine.early(batch) if kept is None else self._engine.late(batch, kept)]
        results: list[Any] = [None] * len(items)
        second = [i for i, (_, kept) in enumerate(items) if kept is not None]
        first = [i for i, (_, kept) in enumerate(items) if kept is None]
        if second:  # these are waited for
            self.sizes[len(second)] += 1
            kept = [_joined(parts) for parts in zip(*(items[i][1] for i in second), strict=True)]
            logits = self._engine.late(np.concatenate([items[i][0] for i in second]), kept)
            for i, span in zip(second, _spans([items[i][0] for i in second]), strict=True):
                results[i] = logits[span]
        if first:
            parts = self._engine.early(np.concatenate([items[i][0] for i in first]))
            for i, span in zip(first, _spans([items[i][0] for i in first]), strict=True):
                results[i] = [part[span] for part in parts]
        return results


class BatchedSteps:
    """A network with state that several threads step, each with the state of its stream; see `Turns`.

    Parameters
    ----------
    engine : StatefulEngine
        Called by one thread at a time.
    max_streams : int, default=MAX_WINDOWS
        Most steps that are joined.
    """

    def __init__(self, engine: StatefulEngine, max_streams: int = MAX_WINDOWS) -> None:
        self.name, self.precision = engine.name, engine.precision
        self._engine = engine
        self.turns: Turns[tuple[np.ndarray, Any], tuple[np.ndarray, Any]] = Turns(self._compute, max_streams)

    @property
    def sizes(self) -> Counter[int]:
        """Calls of the engine, by number of streams that were joined."""
        return self.turns.sizes

    def initial(self, n_streams: int = 1) -> Any:
        """Return the state of `n_streams` streams before their first column."""
        return self._engine.initial(n_streams)

    def step(self, columns: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the logits after one column more, and the state."""
        return self.turns.take((columns, state))

    def along(self, columns: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits after each column of a recording, and the state."""
        return self._engine.along(columns, state)

    def _compute(self, items: list[tuple[np.ndarray, Any]]) -> list[tuple[np.ndarray, Any]]:
        if len(items) == 1:
            return [self._engine.step(*items[0])]
        columns = np.concatenate([item[0] for item in items])
        state = [_joined(parts) for parts in zip(*(item[1] for item in items), strict=True)]
        logits, after = self._engine.step(columns, state)
        return [(logits[span], [part[span] for part in after]) for span in _spans([item[0] for item in items])]


def _spans(batches: Sequence[np.ndarray]) -> list[slice]:
    """Return where each of `batches` lies when they are joined."""
    stops = np.cumsum([len(batch) for batch in batches])
    return [slice(int(stop) - len(batch), int(stop)) for stop, batch in zip(stops, batches, strict=True)]


def _joined(parts: Sequence[Any]) -> Any:
    """Join one part of the states of several streams along the first axis: arrays, or tensors."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(tuple(parts))


def batched(engine: Engine | StatefulEngine) -> BatchedEngine | BatchedTwoStepEngine | BatchedSteps:
    """Return `engine` for several threads."""
    if isinstance(engine, StatefulEngine):
        return BatchedSteps(engine)
    if isinstance(engine, TwoStepEngine):
        return BatchedTwoStepEngine(engine)
    return BatchedEndToEndEngine(engine) if isinstance(engine, EndToEndEngine) else BatchedEngine(engine)
