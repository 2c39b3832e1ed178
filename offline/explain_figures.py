"""Explanations as pictures: over the spectrogram, by themselves, and on the scalp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from offline.explain_reader import View
from offline.explain_scalp import draw_channels, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_ROUND_HZ = 10.0  # ticks of a range as wide are whole numbers
WITHIN = 0.99  # share of an attribution's cells that the colours tell apart
OUTLINED = 0.1  # share of a spectrogram that the line over it encloses
FADES = 1.5  # power by which the rest of it is less opaque, for the spectrogram to be seen
OPAQUE = 0.75  # of the attribution over the spectrogram, where it is largest
WIDTH_IN, ROW_IN = 14.0, 3.5


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """What one row of a picture shows: a class, over one part of what the network reads.

    Parameters
    ----------
    heading : str
        Class, and of which windows this is the mean.
    view : View
        Axes of the part.
    mean : ndarray, shape (n_channels[, n_features], n_times)
        Mean of the part.
    attribution : ndarray, shape (n_channels[, n_features], n_times) or (n_features, n_times)
        Mean attribution.
    shares : ndarray, shape (n_channels,)
        Share of each channel, not below 0.
    """

    heading: str
    view: View
    mean: np.ndarray
    attribution: np.ndarray
    shares: np.ndarray


def draw_explanations(
    path: Path, title: str, channels: Sequence[str], rows: Sequence[Row], cells: tuple[int, int] | None
) -> None:
    """Draw the mean explanation over the mean of what a network reads, by itself, and its share of each channel.

    Parameters
    ----------
    path : Path
        PNG file.
    title : str
        Above all.
    channels : sequence of str
        Names of the channels.
    rows : sequence of Row
        From above.
    cells : tuple of int or None
        Rows and columns of the map that was spread over the spectrogram; None if the attribution is to every value.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 0.8 + ROW_IN * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(plain(title))
    for row, axes in zip(rows, figure.subplots(len(rows), 3, squeeze=False, width_ratios=(1.3, 1.2, 0.9)), strict=True):
        spectral = row.mean.ndim == 3
        under = row.mean.mean(axis=0) if spectral else row.mean
        over = row.attribution.mean(axis=0) if row.attribution.ndim == 3 else row.attribution
        part = f", {row.view.name}" if row.view.name else ""
        drawn = axes[0].imshow(under, cmap="gray" if spectral else "viridis", **_frame(row.view, len(under)))
        figure.colorbar(drawn, ax=axes[0], label="mean input (dB)" if spectral else "mean input")
        below = _overlay(axes[0], over, row.view) if spectral else "mean input"
        axes[0].set_title(plain(f"{row.heading}{part}\n{below}"), fontsize=10)
        _attribution(axes[1], over, row.view)
        axes[1].set_title(f"attribution by itself\n({resolution(cells, row.attribution.ndim == 3)})", fontsize=10)
        for ax in axes[:2]:
            _label(ax, row.view, channels, len(under), spectral)
        draw_channels(axes[2], row.shares / max(float(row.shares.sum()), np.finfo(np.float64).tiny), channels)
        axes[2].set_title(f"channels: {meaning(row.attribution.ndim == row.mean.ndim)}", fontsize=10)
    figure.savefig(path, dpi=110)


def resolution(cells: tuple[int, int] | None, has_channels: bool) -> str:
    """Return in words how fine an attribution is; one map can lie over an image of all channels."""
    if cells is None:
        return "one for every value"
    return f"map of {cells[0]} × {cells[1]} cells{' over the image of all channels' if has_channels else ''}, spread"


def meaning(has_channels: bool) -> str:
    """Return in words what a channel's share is taken of; a map without channels is weighed by gradients."""
    return "size of the attribution" if has_channels else "size of the gradient\ninside the map"


def _frame(view: View, n_rows: int) -> dict[str, Any]:
    """Return how an image is laid over the axes of a view."""
    times = view.times_s
    half = (times[-1] - times[0]) / (len(times) - 1) / 2 if len(times) > 1 else 0.5
    extent = (times[0] - half, times[-1] + half, -0.5, n_rows - 0.5)
    return {"origin": "lower", "aspect": "auto", "extent": extent}


def _colours(image: np.ndarray) -> dict[str, Any]:
    """Return the colours of an attribution; single cells beyond the rest do not set the scale."""
    size = np.abs(image)
    most = float(np.quantile(size, WITHIN)) or float(size.max()) or 1.0
    signed = bool((image < 0).any())
    return {"cmap": "RdBu_r" if signed else "inferno", "vmin": -most if signed else 0.0, "vmax": most}


def _attribution(ax: Axes, image: np.ndarray, view: View) -> None:
    """Draw an attribution by itself, with its scale."""
    colours = _colours(image)
    drawn = ax.imshow(image, **colours, **_frame(view, len(image)))
    beyond = {(False, False): "neither", (True, False): "max", (False, True): "min", (True, True): "both"}
    extend = beyond[bool(image.max() > colours["vmax"]), bool(image.min() < -colours["vmax"])]
    label = "for (red), against (blue)" if colours["vmin"] < 0 else "attribution"
    ax.figure.colorbar(drawn, ax=ax, extend=extend, label=label)


def _overlay(ax: Axes, image: np.ndarray, view: View) -> str:
    """Lay an attribution over a spectrogram, the more opaque the larger, and say so.

    A line goes around the tenth in which it is largest, smoothed, if it tells that tenth from the rest.
    """
    from scipy.ndimage import gaussian_filter

    colours = _colours(image)
    size = np.minimum(np.abs(image), colours["vmax"])
    alpha = OPAQUE * ((size - size.min()) / max(float(np.ptp(size)), np.finfo(np.float64).tiny)) ** FADES
    ax.imshow(image, **colours, alpha=alpha, **_frame(view, len(image)))
    smooth = gaussian_filter(np.abs(image).astype(np.float64), sigma=1.0)
    level = float(np.quantile(smooth, 1.0 - OUTLINED))
    if min(smooth.shape) > 1 and smooth.min() < level < smooth.max():
        ax.contour(view.times_s, np.arange(len(smooth)), smooth, levels=[level], colors="cyan", linewidths=1.3)
        return "mean input (gray) under the attribution; line: its largest tenth"
    return "mean input (gray) under the attribution"


def _label(ax: Axes, view: View, channels: Sequence[str], n_rows: int, spectral: bool) -> None:
    """Name the axes: seconds, and hertz or channels."""
    ax.set_xlabel("time before the prediction (s)")
    at = np.unique(np.linspace(0, n_rows - 1, min(8, n_rows)).round().astype(int))
    if not spectral:
        ax.set_yticks(at, [plain(channels[i]) for i in at])
        ax.set_ylabel("channel")
    elif view.freqs_hz is None:
        ax.set_yticks(at, [str(i) for i in at])
        ax.set_ylabel("feature")
    else:
        hz = view.freqs_hz[at]
        if hz[-1] - hz[0] > MIN_ROUND_HZ:  # whole numbers, each where it belongs between the rows
            hz = np.unique(hz.round())
            hz = hz[(hz >= view.freqs_hz[0]) & (hz <= view.freqs_hz[-1])]
        ax.set_yticks(np.interp(hz, view.freqs_hz, np.arange(n_rows)), [f"{f:.3g}" for f in hz])
        ax.set_ylabel("frequency (Hz)")
