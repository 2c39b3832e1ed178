"""How large the fixed tables of a network may be: its arguments may come from a file of unknown origin."""

from __future__ import annotations

MAX_NUMBERS = 1 << 25
"""Numbers in one table: 128 MiB in float32."""


def check_table(n_numbers: float, what: str) -> None:
    """Refuse a table before memory is taken for it.

    Parameters
    ----------
    n_numbers : float
        Numbers that it would hold.
    what : str
        What the message calls it.

    Raises
    ------
    ValueError
        If there are too many.
    """
    if not n_numbers <= MAX_NUMBERS:
        raise ValueError(f"{what} needs at most {MAX_NUMBERS} numbers, got {n_numbers:.3g}. Use smaller sizes.")
