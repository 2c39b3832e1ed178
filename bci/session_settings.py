"""What the user chooses for a session."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bci.budget import BudgetSpec
from bci.clock import ClockSpec
from bci.errors import SpecError
from bci.overload import Policy


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the user chooses.

    Parameters
    ----------
    name : str
        Name of the prediction stream.
    duration_s : float or None, default=None
        Time after the first sample to stop; None runs until the stream ends.
    start_timeout_s : float, default=30.0
        Longest wait for the first sample of an open stream, in seconds.
    silence_s : float, default=5.0
        A stream without samples for this long is reported as ``lost``.
    clock : ClockSpec
        Tolerances for gaps.
    anticipation_s : float, default=0.0
        How long before a chunk that completes a window the session wakes up and warms up; 0 sleeps until it comes.
    reconnect_s : float or None, default=None
        Longest wait for a lost stream, in seconds; None waits for ever, 0 ends the session with the stream.
    on_mismatch : ``stop`` or ``wait``, default="stop"
        What to do if another stream comes back than was lost: end with an error, or go on looking.
    overload : ``newest`` or ``all``, default="newest"
        Which windows are computed when there is no time for all; see `Overload`.
    budget : BudgetSpec
        What a prediction may take, and what is done when it takes longer.
    """

    name: str
    duration_s: float | None = None
    start_timeout_s: float = 30.0
    silence_s: float = 5.0
    clock: ClockSpec = field(default_factory=ClockSpec)
    anticipation_s: float = 0.0
    reconnect_s: float | None = None
    on_mismatch: Literal["stop", "wait"] = "stop"
    overload: Policy = "newest"
    budget: BudgetSpec = field(default_factory=BudgetSpec)

    def __post_init__(self) -> None:
        if self.duration_s is not None and not self.duration_s > 0:
            raise SpecError(f"A session needs a duration above 0 s, or none, got {self.duration_s:g}.")
        if not self.start_timeout_s >= 0:
            raise SpecError(
                f"A session needs a wait for the first sample of 0 s or more, got {self.start_timeout_s:g}."
            )
        if self.reconnect_s is not None and not self.reconnect_s >= 0:
            raise SpecError(
                f"A session needs a wait for a lost stream of 0 s or more, or none, got {self.reconnect_s:g}."
            )
