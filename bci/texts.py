"""Text from outside, made safe to show."""

from __future__ import annotations

MAX_SHOWN = 80
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


def visible(text: str) -> str:
    """Return `text` with a replacement character for each that steers a terminal or reorders what is read."""
    return "".join(c if c.isprintable() else _UNKNOWN for c in text)


def printable(text: str, most: int = MAX_SHOWN) -> str:
    """Return `text` as `visible` does, at most `most` characters long."""
    shown = visible(text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"
