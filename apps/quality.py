"""The options about bad channels, the same for a live stream and a recording."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.serving import Served


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
