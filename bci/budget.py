"""What a prediction may take, and what is done when it takes longer: a state machine that knows no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bci.errors import SpecError

Policy = Literal["skip_window", "widen_hop", "fallback_model", "alarm_fault"]

STAGES = ("receive", "filter", "features", "engine", "decision", "publish", "compute", "total")
"""What can have a limit: the stages of the ledger, and ``compute``, from the receipt to published."""

SKIPPING = ("skip_window", "widen_hop")
LONGEST_RECOVERY = 64  # times `recover`


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """The table ``[budget]`` of a configuration.

    Parameters
    ----------
    receive_ms, filter_ms, features_ms, engine_ms, decision_ms, publish_ms, compute_ms, total_ms : float or None
        Longest time of a stage, in milliseconds; None (default) has no limit. ``compute`` goes from the receipt of the
        samples to the published prediction, ``total`` from the stamp of the last sample.
    policy : str or None, default=None
        What is done while predictions are too slow; None only reports.
        ``skip_window`` leaves out the window after each that missed its budget. ``widen_hop`` computes every second
        window, then every fourth, up to `widest`. ``fallback_model`` predicts with the bundle `fallback`.
        ``alarm_fault`` holds alarms in FAULT.
    misses, within : int, default=3, 20
        The policy acts when `misses` of the last `within` predictions missed the budget.
    recover : int, default=20
        It ends after so many predictions in a row within the budget; after twice as many, four times as many and so
        on, up to 64 times, if it had to act again before as many had passed since it ended.
    widest : int, default=8
        Largest number of hops from one computed window to the next, with ``widen_hop``.
    fallback : str or None, default=None
        Directory of a bundle or the name of a shipped one, for ``fallback_model``.
    """

    receive_ms: float | None = None
    filter_ms: float | None = None
    features_ms: float | None = None
    engine_ms: float | None = None
    decision_ms: float | None = None
    publish_ms: float | None = None
    compute_ms: float | None = None
    total_ms: float | None = None
    policy: Policy | None = None
    misses: int = 3
    within: int = 20
    recover: int = 20
    widest: int = 8
    fallback: str | None = None

    def __post_init__(self) -> None:
        for stage, limit_s in self.limits_s.items():
            if not limit_s > 0:
                raise SpecError(f"A budget needs {stage}_ms above 0 ms, got {limit_s * 1e3:g}. Leave it out for none.")
        if not (1 <= self.misses <= self.within and self.recover >= 1 and self.widest >= 2):
            raise SpecError(
                "A budget needs 1 <= misses <= within, recover of at least 1 and widest of at least 2, "
                f"got misses={self.misses}, within={self.within}, recover={self.recover}, widest={self.widest}."
            )
        if self.policy is not None and not self.limits_s:
            raise SpecError(f"The policy {self.policy} needs a limit that can be missed, got none. Set total_ms.")
        if (self.policy == "fallback_model") != (self.fallback is not None):
            raise SpecError(
                "The policy fallback_model and the bundle fallback go together, "
                f"got policy {self.policy} and fallback {self.fallback}. Set both or neither."
            )

    @property
    def limits_s(self) -> dict[str, float]:
        """The limit of each stage that has one, in seconds."""
        limits = {stage: getattr(self, f"{stage}_ms") for stage in STAGES}
        return {stage: limit / 1e3 for stage, limit in limits.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Miss:
    """The stage of a prediction that was over its limit; of several, the one that was over it by the largest factor.

    Parameters
    ----------
    stage : str
        One of `STAGES`.
    spent_s, limit_s : float
        What it took, and what it may take, in seconds.
    """

    stage: str
    spent_s: float
    limit_s: float


Change = Literal["acts", "widens", "narrows", "ends"]


class Budget:
    """Compare predictions with their budget, and say when the policy acts.

    Parameters
    ----------
    spec : BudgetSpec
        Settings.

    Attributes
    ----------
    acting : bool
        Whether the policy is in force.
    hop : int
        Hops from one computed window to the next; 1 unless ``widen_hop`` acts.
    n_taken : int
        Predictions that were compared.
    n_missed : int
        Those of them that missed.
    by_stage : Counter of str
        Limits that were missed; one prediction can miss several.
    n_acted : int
        How often the policy began to act.
    """

    def __init__(self, spec: BudgetSpec) -> None:
        self.spec = spec
        self._limits_s = spec.limits_s
        self._recent: deque[bool] = deque(maxlen=spec.within)
        self._needed = spec.recover  # in a row, until the policy ends
        self._n_good = 0  # in a row, while it acts
        self._n_since = LONGEST_RECOVERY * spec.recover  # predictions since it ended
        self._n_to_skip = 0
        self.acting = False
        self.hop = 1
        self.n_taken = self.n_missed = self.n_acted = 0
        self.by_stage: Counter[str] = Counter()

    @property
    def skips_next(self) -> bool:
        """Whether the next window is left out."""
        return self._n_to_skip > 0

    def skipped(self, n_windows: int = 1) -> None:
        """Note that windows were left out."""
        self._n_to_skip = max(0, self._n_to_skip - n_windows)

    def take(self, stages_s: Mapping[str, float]) -> tuple[Miss | None, Change | None]:
        """Take the next prediction that was computed.

        Parameters
        ----------
        stages_s : mapping of str to float
            What its stages took, in seconds; a stage that is not there cannot be missed.

        Returns
        -------
        miss : Miss or None
        change : ``acts``, ``widens``, ``narrows``, ``ends`` or None
            What becomes of the policy from here on.
        """
        over = [
            Miss(stage, stages_s[stage], limit_s)
            for stage, limit_s in self._limits_s.items()
            if stages_s.get(stage, 0.0) > limit_s
        ]
        self.n_taken += 1
        self.n_missed += bool(over)
        self.by_stage.update(miss.stage for miss in over)
        miss = max(over, key=lambda m: m.spent_s / m.limit_s, default=None)
        self._recent.append(miss is not None)
        change = None
        if self.spec.policy is not None:
            change = self._go_on(miss is not None) if self.acting else self._watch()
            self._plan(miss is not None)
        return miss, change

    def _watch(self) -> Change | None:
        self._n_since += 1
        if sum(self._recent) < self.spec.misses:
            return None
        again = self._n_since <= self._needed
        self._needed = min(2 * self._needed, LONGEST_RECOVERY * self.spec.recover) if again else self.spec.recover
        self.acting, self._n_good = True, 0
        self.n_acted += 1
        self._recent.clear()
        if self.spec.policy == "widen_hop":
            self.hop = 2
        return "acts"

    def _go_on(self, missed: bool) -> Change | None:
        self._n_good = 0 if missed else self._n_good + 1
        widens = self.spec.policy == "widen_hop" and self.hop * 2 <= self.spec.widest
        if widens and sum(self._recent) >= self.spec.misses:
            self.hop *= 2
            self._recent.clear()
            return "widens"
        if self._n_good < self._needed:
            return None
        self._n_good = 0
        self._recent.clear()
        if self.hop > 2:
            self.hop //= 2
            return "narrows"
        self.acting, self.hop, self._n_since = False, 1, 0
        return "ends"

    def _plan(self, missed: bool) -> None:
        """Decide about the windows before the next one that is computed."""
        if not self.acting:
            self._n_to_skip = 0
        elif self.spec.policy == "skip_window":
            self._n_to_skip = int(missed)
        elif self.spec.policy == "widen_hop":
            self._n_to_skip = self.hop - 1
