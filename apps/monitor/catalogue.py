"""What streams and bundles there are, and what fits what: for the start dialog."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bci.bundle import SHIPPED, load_bundle
from bci.errors import BciError, ChannelMismatch
from bci.matching import channel_rows
from bci.texts import printable

if TYPE_CHECKING:
    from bci.bundle import Bundle
    from bci.chunk import Signal
    from bci.sources.lsl_discovery import Found

PREDICTIONS, MARKERS = "Predictions", "Markers"
MAX_BUNDLES = 100
RUN_BUNDLE = "bundle"  # where `bci-train` puts it in a run


@dataclass(frozen=True, slots=True)
class StreamChoice:
    """A stream on the network; texts are printable.

    Parameters
    ----------
    name : str
        As it is shown.
    what : str
        ``predictions`` of a session that runs, ``signal`` that can be decoded, or ``other``.
    text : str
        Channels, rate and host, in one line.
    labels, units : tuple of str
        Of the channels.
    sfreq : float
        Nominal rate, in Hz; 0 if irregular.
    """

    name: str
    what: str
    text: str
    labels: tuple[str, ...]
    units: tuple[str, ...]
    sfreq: float


@dataclass(frozen=True, slots=True)
class BundleChoice:
    """A trained model.

    Parameters
    ----------
    name : str
        Printable.
    path : Path
        Its directory.
    text : str
        What it needs, in one line; why it cannot be used, if so.
    signal : Signal or None
        What it needs; None if it cannot be used.
    """

    name: str
    path: Path
    text: str
    signal: Signal | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Streams and bundles.

    Parameters
    ----------
    streams : tuple of StreamChoice
        Sessions first, then signals.
    bundles : tuple of BundleChoice
        Shipped ones first.
    """

    streams: tuple[StreamChoice, ...]
    bundles: tuple[BundleChoice, ...]


def look(wait_s: float = 1.0, folders: tuple[Path, ...] = ()) -> Catalogue:
    """Return what is there; takes a little longer than `wait_s`.

    Parameters
    ----------
    wait_s : float, default=1.0
        How long to listen for streams, in seconds.
    folders : tuple of Path, default=()
        Bundles, or folders that hold bundles or runs of `bci-train`, besides the shipped ones.
    """
    from bci.sources.lsl_discovery import list_streams

    order = {"predictions": 0, "signal": 1, "other": 2}
    streams = sorted(map(stream_choice, list_streams(wait_s)), key=lambda one: (order[one.what], one.name))
    return Catalogue(tuple(streams), find_bundles(folders))


def stream_choice(found: Found) -> StreamChoice:
    """Return how a stream is listed."""
    if found.type == PREDICTIONS:
        what = "predictions"
    elif found.sfreq > 0 and found.channel_format != "string":
        what = "signal"
    else:
        what = "other"
    rate = f"{found.sfreq:g} Hz" if found.sfreq > 0 else "irregular"
    plural = "" if found.n_channels == 1 else "s"
    text = f"{found.type or 'no type'}, {found.n_channels} channel{plural}, {rate}, {found.host}"
    return StreamChoice(found.name, what, text, found.labels, found.units, found.sfreq)


def find_bundles(folders: tuple[Path, ...] = ()) -> tuple[BundleChoice, ...]:
    """Return the shipped bundles and those in `folders`, checked; one that cannot be used says why."""
    paths: list[Path] = []
    for folder in (SHIPPED, *folders):
        inside = sorted(Path(one) for one in glob.glob(f"{glob.escape(str(folder))}/*"))
        candidates = [folder, *inside, *(path / RUN_BUNDLE for path in inside)]
        paths += [path for path in candidates if os.path.isfile(path / "manifest.json")]
    return tuple(bundle_choice(path) for path in paths[:MAX_BUNDLES])


def bundle_choice(path: Path) -> BundleChoice:
    """Return how a bundle is listed."""
    try:
        bundle = load_bundle(path)
    except (BciError, OSError) as error:
        return BundleChoice(printable(path.resolve().name), path, printable(f"cannot be used: {error}", 200), None)
    return BundleChoice(printable(bundle.name), path, _needs(bundle), bundle.pipeline.signal)


def fits(stream: StreamChoice, bundle: BundleChoice) -> str:
    """Return why a stream cannot be decoded by a bundle; empty if it can, as far as its description tells."""
    from bci.chunk import Signal
    from bci.sources.units import conversion

    if stream.what != "signal":
        return "This is no signal."
    if bundle.signal is None:
        return bundle.text
    if not stream.labels or len(set(stream.labels)) < len(stream.labels) or not all(stream.labels):
        return "The stream does not name its channels, each by another name."
    units = dict(zip(stream.labels, stream.units, strict=False))
    known = []
    for label in stream.labels:
        try:
            known.append((label, conversion(units.get(label, ""))[0]))
        except ChannelMismatch:
            continue  # an accelerometer or a trigger is left out
    labels = tuple(label for label, unit in known if unit == bundle.signal.unit)
    if not labels:
        return f"The stream has no channel in {bundle.signal.unit}; if it only does not say so, use bci run --unit."
    try:
        channel_rows(bundle.signal, Signal(stream.sfreq, labels, bundle.signal.unit))
    except BciError as error:
        return printable(str(error), 300)
    return ""


def _needs(bundle: Bundle) -> str:
    signal = bundle.pipeline.signal
    classes = ", ".join(map(printable, bundle.decision.classes))
    return f"{classes}; needs {signal.n_channels} channels at {signal.sfreq:g} Hz"
