"""How far an engine may be from eager float32, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bci.engines.base import Engine
from bci.errors import ParityError

if TYPE_CHECKING:
    from torch import nn

LIMITS = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 1e-2}
"""Largest difference of a logit by precision, relative to the largest logit or 1."""


@dataclass(frozen=True, slots=True)
class Parity:
    """An engine beside eager float32.

    Parameters
    ----------
    error : float
        Largest difference of a logit, relative to the largest logit or 1.
    n_other : int
        Windows with another class, of those whose margin is more than twice the limit.
    limit : float
        What is allowed of `error`; of `n_other` nothing is.
    """

    error: float
    n_other: int
    limit: float

    def require(self, name: str) -> None:
        """Refuse an engine that is not within the limits.

        Raises
        ------
        ParityError
            With the numbers.
        """
        if not self.error <= self.limit or self.n_other:
            classes = f" and gives {self.n_other} windows another class" if self.n_other else ""
            raise ParityError(
                f"Engine {name} differs from eager fp32 by {self.error:.2e} of the largest logit{classes}, "
                f"the limit is {self.limit:.0e}. Use --engine eager --precision fp32."
            )


def compare(logits: np.ndarray, reference: np.ndarray, precision: str) -> Parity:
    """Compare logits (n_windows, n_classes) with those of eager float32."""
    limit = LIMITS[precision]
    scale = max(1.0, float(np.abs(reference).max()))
    ordered = np.sort(reference, axis=-1)
    margin = ordered[:, -1] - ordered[:, -2] if reference.shape[-1] > 1 else np.zeros(len(reference))
    other = (logits.argmax(axis=-1) != reference.argmax(axis=-1)) & (margin > 2 * limit * scale)
    return Parity(float(np.abs(logits - reference).max() / scale), int(other.sum()), limit)


def check(engine: Engine, network: nn.Module, example: np.ndarray, signals: np.ndarray | None = None) -> Parity:
    """Run windows on an engine and on eager float32, all at once and the first alone.

    An engine with ``sizes``, batches that it was compiled for, is run with every one of them.

    Parameters
    ----------
    engine : Engine
    network : Module
        The network, in float32.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
    signals : ndarray of float32, shape (n_windows, n_channels, n_samples), or None, default=None
        What the engine is given instead, if it makes the columns itself: the signals behind them.
    """
    from bci.engines.eager_engine import EagerEngine

    reference = EagerEngine(network)(example)
    numbers = sorted({1, len(example), *getattr(engine, "sizes", ())})
    rows = np.concatenate([np.resize(np.arange(len(example)), n) for n in numbers])
    stops = np.cumsum(numbers)
    given = example if signals is None else signals
    found = [engine(given[rows[stop - n : stop]]) for n, stop in zip(numbers, stops, strict=True)]
    return compare(np.concatenate(found), reference[rows], engine.precision)
