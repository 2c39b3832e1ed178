"""Faults that a replay can inject, and how they are written: ``drop:0.01``, ``kill:30``, ``restart:20,3,order``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bci.errors import SpecError

LONGEST_S = 1e9
MAX_DRIFT = 0.1
CHANGES = ("order", "names", "count", "rate", "id")
"""What a sender may come back with: channels in reverse order, other names, one channel less, half the rate, or another
``source_id``."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MAX_SHOWN = 60  # of a text that the user gave


@dataclass(frozen=True, slots=True)
class Drop:
    """A share of the chunks is never sent."""

    share: float


@dataclass(frozen=True, slots=True)
class DropStretch:
    """The samples of a stretch are never sent."""

    at_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A share of the chunks is sent twice, with the same stamps."""

    share: float


@dataclass(frozen=True, slots=True)
class Reorder:
    """A share of the chunks leaves after the chunk that follows it."""

    share: float


@dataclass(frozen=True, slots=True)
class Jitter:
    """The stamps of each chunk are early by a random time up to `max_s`, but later than those before."""

    max_s: float


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The sender's clock jumps by `jump_s`: stamps do, samples do not."""

    at_s: float
    jump_s: float


@dataclass(frozen=True, slots=True)
class RateDrift:
    """The sender is faster than its nominal rate by the share `drift`."""

    drift: float


@dataclass(frozen=True, slots=True)
class DcStep:
    """`step` (in the channel's unit) is added from `at_s` on; to all channels if none is named."""

    at_s: float
    step: float
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nan:
    """The values of a stretch are NaN; of all channels if none is named."""

    at_s: float
    length_s: float
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flat:
    """The channels keep the value before the stretch; all channels if none is named."""

    at_s: float
    length_s: float
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing leaves during a stretch; then all that has gathered leaves at once, with its true stamps."""

    at_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """The sender ends like one that is killed: without a last word."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """The streams go, and come back after `length_s`, changed by some of `CHANGES`; what lies between is lost."""

    at_s: float
    length_s: float
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Anonymous:
    """The stream has no ``source_id`` by which it could be recognised."""


Fault = (
    Drop
    | DropStretch
    | Duplicate
    | Reorder
    | Jitter
    | ClockJump
    | RateDrift
    | DcStep
    | Nan
    | Flat
    | Stall
    | Kill
    | Restart
    | Anonymous
)


def parse_fault(text: str) -> Fault:
    """Return the fault that `text` describes.

    Parameters
    ----------
    text : str
        ``KIND:ARGUMENTS``, see `FORMS`. Times are seconds of signal from the first sample that is played; a jump or
        jitter of stamps is in seconds of the stamps' clock.

    Returns
    -------
    fault : Fault

    Raises
    ------
    SpecError
        If `text` is none.
    """
    kind, colon, rest = text.partition(":")
    if kind not in FORMS:
        raise SpecError(f"--fault needs a kind out of {', '.join(FORMS)}, got {_shown(kind)}.")
    form, read = FORMS[kind]
    words = rest.split(",") if colon else []
    fault = read(words)
    if fault is None:
        raise SpecError(f"--fault needs {form}, got {_shown(text)}.")
    return fault


def _number(word: str, low: float, high: float) -> float | None:
    """Return a number in ``[low, high]``; None if `word` is none."""
    if not _NUMBER.fullmatch(word):
        return None
    value = float(word)
    return value if low <= value <= high else None


def _share(words: Sequence[str]) -> float | None:
    """Return the only word as a share above 0 and below 1."""
    share = _number(words[0], 0.0, 1.0) if len(words) == 1 else None
    return share if share is not None and 0 < share < 1 else None


def _stretch(words: Sequence[str]) -> tuple[float, float] | None:
    """Return the first two words as a time and a length above 0."""
    if len(words) < 2:
        return None
    at_s, length_s = _number(words[0], 0.0, LONGEST_S), _number(words[1], 0.0, LONGEST_S)
    return None if at_s is None or not length_s else (at_s, length_s)


def _drop(words: Sequence[str]) -> Drop | DropStretch | None:
    if len(words) == 1:
        share = _share(words)
        return None if share is None else Drop(share)
    stretch = _stretch(words) if len(words) == 2 else None
    return None if stretch is None else DropStretch(*stretch)


def _duplicate(words: Sequence[str]) -> Duplicate | None:
    share = _share(words)
    return None if share is None else Duplicate(share)


def _reorder(words: Sequence[str]) -> Reorder | None:
    share = _share(words)
    return None if share is None else Reorder(share)


def _jitter(words: Sequence[str]) -> Jitter | None:
    max_s = _number(words[0], 0.0, LONGEST_S) if len(words) == 1 else None
    return Jitter(max_s) if max_s else None


def _clock_jump(words: Sequence[str]) -> ClockJump | None:
    if len(words) != 2:
        return None
    at_s, jump_s = _number(words[0], 0.0, LONGEST_S), _number(words[1], -LONGEST_S, LONGEST_S)
    return None if at_s is None or not jump_s else ClockJump(at_s, jump_s)


def _rate_drift(words: Sequence[str]) -> RateDrift | None:
    for unit, factor in (("ppm", 1e-6), ("%", 1e-2)):
        if len(words) == 1 and words[0].endswith(unit):
            value = _number(words[0].removesuffix(unit), -MAX_DRIFT / factor, MAX_DRIFT / factor)
            return RateDrift(value * factor) if value else None
    return None


def _dc(words: Sequence[str]) -> DcStep | None:
    if len(words) < 2 or not all(words[2:]):
        return None
    at_s, step = _number(words[0], 0.0, LONGEST_S), _number(words[1], -LONGEST_S, LONGEST_S)
    return None if at_s is None or not step else DcStep(at_s, step, tuple(words[2:]))


def _nan(words: Sequence[str]) -> Nan | None:
    stretch = _stretch(words)
    return None if stretch is None or not all(words[2:]) else Nan(*stretch, tuple(words[2:]))


def _flat(words: Sequence[str]) -> Flat | None:
    stretch = _stretch(words)
    return None if stretch is None or not all(words[2:]) else Flat(*stretch, tuple(words[2:]))


def _stall(words: Sequence[str]) -> Stall | None:
    stretch = _stretch(words) if len(words) == 2 else None
    return None if stretch is None else Stall(*stretch)


def _kill(words: Sequence[str]) -> Kill | None:
    at_s = _number(words[0], 0.0, LONGEST_S) if len(words) == 1 else None
    return None if at_s is None else Kill(at_s)


def _restart(words: Sequence[str]) -> Restart | None:
    stretch = _stretch(words) if len(words) in (2, 3) else None
    changes = tuple(words[2].split("+")) if len(words) == 3 else ()
    if stretch is None or not set(changes) <= set(CHANGES) or len(set(changes)) < len(changes):
        return None
    return Restart(*stretch, changes)


def _anonymous(words: Sequence[str]) -> Anonymous | None:
    return None if words else Anonymous()


FORMS: dict[str, tuple[str, Callable[[Sequence[str]], Fault | None]]] = {
    "drop": ("drop:SHARE with 0 < SHARE < 1 (of the chunks), or drop:AT,SECONDS", _drop),
    "duplicate": ("duplicate:SHARE with 0 < SHARE < 1 (of the chunks)", _duplicate),
    "reorder": ("reorder:SHARE with 0 < SHARE < 1 (of the chunks)", _reorder),
    "jitter": ("jitter:SECONDS above 0", _jitter),
    "clock_jump": ("clock_jump:AT,SECONDS, forward or back by other than 0", _clock_jump),
    "rate_drift": ("rate_drift:NUMBER with ppm or %, at most 10 % and not 0", _rate_drift),
    "dc": ("dc:AT,STEP[,CHANNEL…] with STEP other than 0, in µV or fT", _dc),
    "nan": ("nan:AT,SECONDS[,CHANNEL…]", _nan),
    "flat": ("flat:AT,SECONDS[,CHANNEL…]", _flat),
    "stall": ("stall:AT,SECONDS", _stall),
    "kill": ("kill:AT", _kill),
    "restart": (f"restart:AT,SECONDS[,CHANGE+…] with CHANGE out of {', '.join(CHANGES)}", _restart),
    "anonymous": ("anonymous, without an argument", _anonymous),
}
"""Kind → (how it is written, what reads its arguments)."""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
