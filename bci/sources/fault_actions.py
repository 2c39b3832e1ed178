"""What happens instead of a planned send, and what is noted of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Send:
    """Samples that leave together.

    Parameters
    ----------
    first : int
        Number of the first sample, counted from the first that the replay plays.
    rows : ndarray of float32, shape (n_samples, n_channels)
        Values.
    stamps : ndarray of float64, shape (n_samples,)
        Time of each.
    """

    first: int
    rows: np.ndarray
    stamps: np.ndarray

    def __len__(self) -> int:
        return len(self.stamps)


@dataclass(frozen=True, slots=True)
class CloseStreams:
    """The streams leave the network."""


@dataclass(frozen=True, slots=True)
class OpenStreams:
    """The streams come back, with `changes` out of `bci.sources.faults.CHANGES`."""

    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EndProcess:
    """The sender is killed."""


Action = Send | CloseStreams | OpenStreams | EndProcess


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has happened.

    Parameters
    ----------
    kind : str
        As in ``--fault``.
    sample, n_samples : int
        Number of the first affected sample, and how many are.
    t0, t1 : float
        Stamps of the first and the last of them, as they are sent or would have been, in seconds; those of a
        ``clock_jump`` and of ``jitter`` as they would have been without.
    fields : dict, default={}
        What else there is to know.
    """

    kind: str
    sample: int
    n_samples: int
    t0: float
    t1: float
    fields: dict[str, Any] = field(default_factory=dict)
