"""What trials vary: ranges and choices of settings and of a model's arguments, as settings write them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bci.errors import UsageError
from models.registry import parameters
from offline.config import TRAINING, TrainConfig
from offline.recipes import Recipe

if TYPE_CHECKING:
    from optuna import Trial

ARGUMENT = "arguments."
"""Stands before the name of an argument of the model."""
_FIXED = ("arguments", "start_weights", "loss", "device", "monitor", "augment")
"""Settings that trials cannot vary: trials that differ in them cannot be compared, or they are lists."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number that trials vary.

    Parameters
    ----------
    name : str
        Setting, or ``arguments.`` and an argument.
    low, high : float
        Bounds, both included.
    log : bool, default=False
        Whether its logarithm is drawn evenly.
    whole : bool, default=False
        Whether it is a whole number.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a trial may have the value."""
        number = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        return number and self.low <= value <= self.high

    def draw(self, trial: Trial) -> Any:
        """Return the value of a trial."""
        if self.whole:
            return trial.suggest_int(self.name, round(self.low), round(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values.

    Parameters
    ----------
    name : str
        As of `Range`.
    options : tuple of float, int, str or bool
        Values.
    """

    name: str
    options: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Whether a trial may have the value."""
        return value in self.options

    def draw(self, trial: Trial) -> Any:
        """Return the value of a trial."""
        return trial.suggest_categorical(self.name, list(self.options))


def space(config: TrainConfig, plan: Recipe) -> tuple[Range | Choice, ...]:
    """Return what the trials of a run vary.

    Parameters
    ----------
    config : TrainConfig
        Its ``search`` holds entries such as ``learning_rate=1e-4:1e-2:log``, ``batch_size=8:64:int``,
        ``balance=none|classes`` and ``arguments.depth=2|4``. None stands for the learning rate within a factor of 5
        of the recipe's, the weight decay from 0.0001 to 0.1, and the dropout up to 0.6 where the model has one.
    plan : Recipe
        How the model is trained.

    Returns
    -------
    space : tuple of Range or Choice

    Raises
    ------
    UsageError
        If an entry cannot be read, varies what cannot be varied, or varies what a setting fixes.
    """
    if config.search is not None:
        found = tuple(_entry(text) for text in config.search)
    else:
        rate = config.learning_rate or plan.learning_rate
        found = (Range("learning_rate", rate / 5, rate * 5, log=True), Range("weight_decay", 1e-4, 0.1, log=True))
        if "dropout" in parameters(plan.architecture):
            found = (*found, Range("dropout", 0.0, 0.6))
    names = [entry.name for entry in found]
    default = TrainConfig("", "", "")
    given = [name for name in names if getattr(config, name, None) != getattr(default, name, None)]
    given += [text for text in config.arguments or () if ARGUMENT + text.partition("=")[0] in names]
    if given or len(set(names)) < len(names):
        raise UsageError(
            f"Trials choose {', '.join(names)}, each once and not set otherwise, "
            f"got {', '.join(given) or 'one twice'}. Leave it out, or change --search."
        )
    return found


def drawn(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Return the settings with the values of a trial.

    Raises
    ------
    UsageError
        If a value is out of range.
    """
    arguments = [f"{name.removeprefix(ARGUMENT)}={json.dumps(v)}" for name, v in values.items() if ARGUMENT in name]
    changed = {name: value for name, value in values.items() if ARGUMENT not in name}
    if arguments:
        changed["arguments"] = (*(config.arguments or ()), *arguments)
    return replace(config, **changed)


def _entry(text: str) -> Range | Choice:
    name, _, values = text.partition("=")
    known = [setting for setting in TRAINING if setting not in _FIXED]
    if name not in known and not (name.startswith(ARGUMENT) and len(name) > len(ARGUMENT)):
        raise UsageError(f"Trials vary {', '.join(known)} or {ARGUMENT}NAME, got {name!r}. Change --search.")
    if "|" in values:
        return Choice(name, tuple(_value(option) for option in values.split("|")))
    low, _, rest = values.partition(":")
    high, _, kind = rest.partition(":")
    try:
        entry = Range(name, float(low), float(high), kind == "log", kind == "int")
    except ValueError:
        entry = Range(name, math.nan, math.nan)
    if not (-math.inf < entry.low < entry.high < math.inf and kind in ("", "log", "int")) or (
        kind == "log" and entry.low <= 0
    ):
        raise UsageError(
            f"A range of --search has the form low:high, low:high:log (above 0) or low:high:int, or options a|b; "
            f"got {text!r}."
        )
    return entry


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) else text
