"""What a session says about its budget: events that do not flood, and figures; and what a policy does to a decoder."""

from __future__ import annotations

from dataclasses import dataclass

from bci.budget import SKIPPING, Budget, BudgetSpec, Change, Miss
from bci.decoder import Decoder
from bci.events import Event
from bci.fallback import FallbackDecoder
from bci.sinks.base import Output

MISSES_EVERY_S = 1.0  # at most one event of missed budgets in this time
STAMPED = ("receive", "total")
"""Stages that begin with the stamp of a sample, which may be of another clock."""


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """How a session kept its budget.

    Parameters
    ----------
    limits_ms : dict of str to float
        By stage, in milliseconds.
    predictions, missed : int
        Predictions, and those of them that missed a limit.
    by_stage : dict of str to int
        Missed limits.
    policy : str or None
        What was to be done about it.
    acted : int
        How often that began.
    """

    limits_ms: dict[str, float]
    predictions: int
    missed: int
    by_stage: dict[str, int]
    policy: str | None
    acted: int


class BudgetEvents:
    """Compares predictions with the budget, does what its policy asks for, and reports both.

    Parameters
    ----------
    spec : BudgetSpec
        Limits and policy.
    decoder : Decoder
        Whose alarms are held, or that falls back on another model.
    """

    def __init__(self, spec: BudgetSpec, decoder: Decoder) -> None:
        self._budget, self._decoder = Budget(spec), decoder
        self._has_limits = bool(spec.limits_s)
        self._policy = spec.policy
        self._told_s = -MISSES_EVERY_S
        self._n_untold = 0
        self._worst: tuple[Miss, int] | None = None  # not told yet: miss, and last sample of its window

    @property
    def one_by_one(self) -> bool:
        """Whether chunks must be cut so that none completes two windows."""
        return self._policy in (*SKIPPING, "fallback_model")

    @property
    def skips_next(self) -> bool:
        """Whether the next window is left out."""
        return self._budget.skips_next

    def skipped(self, n_windows: int) -> None:
        """Note that windows were left out."""
        self._budget.skipped(n_windows)

    def take(self, output: Output, stamped: bool = True) -> list[Event]:
        """Return the events of a prediction that was published.

        Parameters
        ----------
        output : Output
            With the time at which it was published.
        stamped : bool, default=True
            Whether stamps are of this clock; otherwise nothing that begins with one can be compared.
        """
        if not self._has_limits or output.published_s is None:
            return []
        stages_s = output.stages_s() | {"compute": output.published_s - output.received_s}
        if not stamped:
            for stage in STAMPED:
                del stages_s[stage]
        miss, change = self._budget.take(stages_s)
        events = []
        if miss is not None:
            self._n_untold += 1
            if self._worst is None or miss.spent_s / miss.limit_s > self._worst[0].spent_s / self._worst[0].limit_s:
                self._worst = miss, output.prediction.last_sample
        if output.published_s - self._told_s >= MISSES_EVERY_S:
            events += self.flush(output.published_s)
        if change is not None:
            self._apply()
            events += [*self.flush(output.published_s), self._change(change, output.published_s)]
        return events

    def flush(self, now_s: float) -> list[Event]:
        """Return what has not been told yet of missed budgets."""
        if self._worst is None:
            return []
        miss, last_sample = self._worst
        fields = {
            "stage": miss.stage,
            "spent_ms": round(miss.spent_s * 1e3, 4),
            "limit_ms": miss.limit_s * 1e3,
            "last_sample": last_sample,
            "n_missed": self._n_untold,
        }
        self._worst, self._n_untold, self._told_s = None, 0, now_s
        return [Event("budget_missed", now_s, fields)]

    def figures(self) -> BudgetFigures | None:
        """Return how the budget was kept so far; None if there is none."""
        if not self._has_limits:
            return None
        budget = self._budget
        limits_ms = {stage: limit_s * 1e3 for stage, limit_s in budget.spec.limits_s.items()}
        return BudgetFigures(
            limits_ms, budget.n_taken, budget.n_missed, dict(budget.by_stage), self._policy, budget.n_acted
        )

    def _apply(self) -> None:
        if self._policy == "alarm_fault":
            self._decoder.decision.late = self._budget.acting
        elif isinstance(self._decoder, FallbackDecoder):
            self._decoder.falls_back = self._budget.acting

    def _change(self, change: Change, now_s: float) -> Event:
        fields = {"policy": self._policy, "change": change, "acting": self._budget.acting, "hop": self._budget.hop}
        return Event("budget_policy", now_s, fields)
