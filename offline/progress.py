"""How far a run is: a count of units of work whose total shrinks when a training stops early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from offline.training_loop import Epoch


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run is.

    Parameters
    ----------
    name : str
        Left-out subject, ``final``, or another part of the run.
    done, total : int
        Units of the whole run that are over, and its upper bound. A unit is an epoch, a closed fit or a patient.
    epoch : Epoch or None
        The last one; None at the end of a part.
    """

    name: str
    done: int
    total: int
    epoch: Epoch | None = None

    @property
    def figures(self) -> str:
        """Loss and validation accuracy, in words."""
        return "done" if self.epoch is None else self.epoch.figures


class Progress:
    """Tells a listener how far a run is.

    Parameters
    ----------
    total : int
        Units of the whole run, at most.
    on_step : callable or None
        Called after each epoch and at the end of each part.
    """

    def __init__(self, total: int, on_step: Callable[[Step], None] | None) -> None:
        self._total = total
        self._before = 0
        self._on_step = on_step

    def epoch(self, name: str, epoch: Epoch) -> None:
        """Tell of an epoch of the part that is under way."""
        self._tell(Step(name, self._before + epoch.index + 1, self._total, epoch))

    def over(self, name: str, planned: int, used: int) -> None:
        """Tell that a part is over.

        Parameters
        ----------
        name : str
            The part.
        planned, used : int
            Units that the total holds for it, and those that it took.
        """
        self._before += used
        self._total += used - planned
        self._tell(Step(name, self._before, self._total))

    def _tell(self, step: Step) -> None:
        if self._on_step is not None:
            self._on_step(step)
