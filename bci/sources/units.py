"""Physical units of channels: how they are spelled, and the factor to µV and fT."""

from __future__ import annotations

from bci.errors import ChannelMismatch, UsageError

_PREFIXES = {"": 0, "m": -3, "milli": -3, "u": -6, "micro": -6, "n": -9, "nano": -9}
_FIELD_PREFIXES = {**_PREFIXES, "p": -12, "pico": -12, "f": -15, "femto": -15}


def _table() -> dict[str, tuple[str, int]]:
    """Return ``{spelling: (unit inside the toolkit, power of ten to get there)}``."""
    table = {}
    for prefix, power in _PREFIXES.items():
        for name in ("v", "volt", "volts"):
            table[prefix + name] = ("uV", power + 6)
    for prefix, power in _FIELD_PREFIXES.items():
        for name in ("t", "tesla", "teslas"):
            table[prefix + name] = ("fT", power + 15)
        table[prefix + "t/m"] = ("fT/cm", power + 13)
        table[prefix + "t/cm"] = ("fT/cm", power + 15)
    return table


_TABLE = _table()
_MICRO_SIGNS = str.maketrans({"µ": "u", "μ": "u"})  # U+00B5 and U+03BC look alike


def conversion(unit: str, channel: str = "") -> tuple[str, float]:
    """Return the unit that a channel has inside the toolkit and the factor to it.

    Parameters
    ----------
    unit : str
        Unit as the source spells it: ``V``, ``mV``, ``uV``, ``µV``, ``microvolts``, ``T``, ``fT``, …
    channel : str, default=""
        Name of the channel, for the message.

    Returns
    -------
    inside : str
        ``uV``, ``fT`` or ``fT/cm``.
    factor : float
        Multiplies values in `unit`.

    Raises
    ------
    ChannelMismatch
        If the unit is not known.
    """
    key = unit.strip().translate(_MICRO_SIGNS).lower().replace(" ", "")
    if key not in _TABLE:
        raise ChannelMismatch(
            f"The unit of channel {channel!r} must be a voltage (V, mV, uV, nV) or a magnetic field "
            f"(T, fT, T/m, fT/cm), got {unit!r}. Select other channels or pass --unit, for example uV."
        )
    inside, power = _TABLE[key]
    return inside, float(f"1e{power}")


def check_unit(unit: str) -> None:
    """Check what the user gave as ``--unit``.

    Raises
    ------
    UsageError
        If the unit is not known.
    """
    try:
        conversion(unit)
    except ChannelMismatch as error:
        raise UsageError(
            f"--unit needs a voltage (V, mV, uV, nV) or a magnetic field (T, fT, T/m, fT/cm), got {unit!r}. "
            "EEG is mostly in uV."
        ) from error


def common_unit(units: tuple[str, ...]) -> str:
    """Return one unit for a signal: that of its channels, ``fT`` for mixed MEG sensors, else ``mixed``."""
    kinds = set(units)
    if len(kinds) == 1:
        return kinds.pop()
    return "fT" if kinds == {"fT", "fT/cm"} else "mixed"
