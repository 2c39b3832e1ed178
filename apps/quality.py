"""The options about bad channels, the same for a live stream and a recording."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.serving import Served
    from bci.stages.quality_detector import Change


def add_quality_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quality`` and ``--min-channels``."""
    options = parser.add_argument_group("channel quality")
    options.add_argument(
        "--quality",
        choices=("report", "interpolate", "mask", "off"),
        help="what to do about bad channels (default: report, or what the model was trained with)",
    )
    options.add_argument(
        "--min-channels",
        type=int,
        metavar="N",
        help="with fewer good channels predictions are faulty (default: half for interpolate and mask, else 0)",
    )


def judged(served: Served, policy: str | None, min_channels: int | None) -> Served:
    """Return `served` with a pipeline that judges its channels as the options say.

    Raises
    ------
    UsageError
        If the options do not fit the model.
    """
    from bci.errors import SpecError, UsageError
    from bci.quality import with_quality

    try:
        pipeline = with_quality(served.bundle.pipeline, policy, min_channels)
    except SpecError as error:
        raise UsageError(str(error)) from error
    return replace(served, bundle=replace(served.bundle, pipeline=pipeline))


def bad_channels_line(changes: Sequence[Change], n_samples: int) -> str:
    """Return which channels of a recording were bad, for how much of it and why, in one line.

    Parameters
    ----------
    changes : sequence of Change
        By sample of the recording.
    n_samples : int
        Its length.
    """
    from bci.texts import visible

    since: dict[str, int] = {}
    spent: dict[str, int] = {}
    reasons: dict[str, set[str]] = {}
    for change in changes:
        if change.bad:
            since[change.channel] = change.sample
            reasons.setdefault(change.channel, set()).update(change.reasons)
        elif change.channel in since:
            spent[change.channel] = spent.get(change.channel, 0) + change.sample - since.pop(change.channel)
    for channel, sample in since.items():
        spent[channel] = spent.get(channel, 0) + n_samples - sample
    worst = sorted(spent, key=lambda channel: -spent[channel])
    told = (f"{visible(c)} {100 * spent[c] / n_samples:.1f} % ({', '.join(sorted(reasons[c]))})" for c in worst)
    return f"Bad channels: {', '.join(told) or 'none'}."
