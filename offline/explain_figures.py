"""Explanations as pictures: over frequency and time, over channels and time, and on the scalp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bci.stages.electrodes import electrode_positions, plain_name
from offline.explain_reader import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_ELECTRODES = 8  # a map of fewer is mostly invention
MIN_ROUND_HZ = 10.0  # ticks of a range as wide are whole numbers
WITHIN = 0.99  # share of an attribution's cells that the colours tell apart
OUTLINED = 0.1  # share of a spectrogram that the line over it encloses
WIDTH_IN, ROW_IN = 12.0, 3.2


def draw_explanations(
    path: Path,
    title: str,
    channels: Sequence[str],
    views: Sequence[View],
    means: Mapping[str, tuple[np.ndarray, ...]],
    attributions: Mapping[str, tuple[np.ndarray, ...]],
    counts: Mapping[str, int],
) -> None:
    """Draw the mean of what a network reads, the mean explanation over it, and its share of each channel.

    Parameters
    ----------
    path : Path
        PNG file.
    title : str
        Above all.
    channels : sequence of str
        Names of the channels.
    views : sequence of View
        Axes of each part of what the network reads; a row for each class and part.
    means : mapping of str to tuple of ndarray, each of shape (n_channels[, n_features], n_times)
        Mean of each part over the windows of each class.
    attributions : mapping of str to tuple of ndarray, each of shape (n_channels[, n_features], n_times) or \
(n_features, n_times)
        Mean attribution of each class.
    counts : mapping of str to int
        Windows of each class.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n_rows = len(means) * len(views)
    figure = Figure(figsize=(WIDTH_IN, 0.8 + ROW_IN * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title))
    axes = figure.subplots(n_rows, 3, squeeze=False, width_ratios=(1.2, 1.2, 1.0))
    rows = ((name, j) for name in means for j in range(len(views)))
    for row, (name, j) in zip(axes, rows, strict=True):
        view, mean, attribution = views[j], means[name][j], attributions[name][j]
        spectral = mean.ndim == 3
        under = mean.mean(axis=0) if spectral else mean
        over = attribution.mean(axis=0) if attribution.ndim == 3 else attribution
        drawn = row[0].imshow(under, cmap="viridis", **_frame(view, len(under)))
        row[0].figure.colorbar(drawn, ax=row[0], label="mean input (dB)" if spectral else "mean input")
        outlined = spectral and _outline(row[0], over, view)
        _attribution(row[1], over, view)
        row[1].set_title(f"attribution{', its largest tenth outlined' if outlined else ''}")
        for ax in row[:2]:
            _label(ax, view, channels, len(under), spectral)
        part = f", {view.name}" if view.name else ""
        row[0].set_title(_plain(f"{name} ({counts[name]} windows){part}"))
        _scalp(row[2], attribution, channels if attribution.ndim == mean.ndim else ())
    figure.savefig(path, dpi=110)


def channel_weights(*attributions: np.ndarray) -> np.ndarray:
    """Return the share of each channel in the size of attributions, each (n_channels, ...), shape (n_channels,)."""
    size = sum(np.abs(part).reshape(len(part), -1).sum(axis=1) for part in attributions)
    return np.asarray(size / max(float(np.sum(size)), np.finfo(np.float64).tiny))


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # no mathematics in names from outside


def _frame(view: View, n_rows: int) -> dict[str, Any]:
    """Return how an image is laid over the axes of a view."""
    times = view.times_s
    half = (times[-1] - times[0]) / (len(times) - 1) / 2 if len(times) > 1 else 0.5
    extent = (times[0] - half, times[-1] + half, -0.5, n_rows - 0.5)
    return {"origin": "lower", "aspect": "auto", "extent": extent}


def _attribution(ax: Axes, image: np.ndarray, view: View) -> None:
    """Draw an attribution; single cells beyond the rest do not set the scale."""
    size = np.abs(image)
    most = float(np.quantile(size, WITHIN)) or float(size.max()) or 1.0
    signed = bool((image < 0).any())
    drawn = ax.imshow(
        image,
        cmap="RdBu_r" if signed else "magma",
        vmin=-most if signed else 0.0,
        vmax=most,
        **_frame(view, len(image)),
    )
    beyond = {(False, False): "neither", (True, False): "max", (False, True): "min", (True, True): "both"}
    extend = beyond[bool(image.max() > most), bool(image.min() < -most)]
    ax.figure.colorbar(drawn, ax=ax, extend=extend)


def _outline(ax: Axes, image: np.ndarray, view: View) -> bool:
    """Draw a line over a spectrogram around the tenth of it in which a smoothed attribution is largest, if there is."""
    from scipy.ndimage import gaussian_filter

    size = gaussian_filter(np.abs(image).astype(np.float64), sigma=1.0)
    level = float(np.quantile(size, 1.0 - OUTLINED))
    tells = min(size.shape) > 1 and size.min() < level < size.max()
    if tells:
        ax.contour(view.times_s, np.arange(len(size)), size, levels=[level], colors="white", linewidths=1.2)
    return tells


def _label(ax: Axes, view: View, channels: Sequence[str], n_rows: int, spectral: bool) -> None:
    """Name the axes: seconds, and hertz or channels."""
    ax.set_xlabel("time before the prediction (s)")
    at = np.unique(np.linspace(0, n_rows - 1, min(8, n_rows)).round().astype(int))
    if not spectral:
        ax.set_yticks(at, [_plain(channels[i]) for i in at])
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


def _scalp(ax: Axes, attribution: np.ndarray, names: Sequence[str]) -> None:
    """Draw the share of each channel where its electrode is, or say why not."""
    places = [_place(name) for name in names]
    known = [i for i, place in enumerate(places) if place is not None]
    ax.set_axis_off()
    if len(known) < MIN_ELECTRODES:
        reason = "this method knows no channels" if not names else f"{len(known)} electrodes are too few for a map"
        ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes)
        return
    from scipy.interpolate import RBFInterpolator

    weights = channel_weights(attribution)[known]
    at = np.array([_flat(place) for place in places if place is not None])
    side = np.linspace(-1.15, 1.15, 160)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    values = RBFInterpolator(at, weights, smoothing=1e-3)(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    values[np.hypot(grid[..., 0], grid[..., 1]) > 1.0] = np.nan
    drawn = ax.imshow(values, origin="lower", extent=(-1.15, 1.15, -1.15, 1.15), cmap="magma", vmin=0.0)
    ax.plot(at[:, 0], at[:, 1], "w.", markersize=4)
    turn = np.linspace(0, 2 * np.pi, 100)
    ax.plot(np.cos(turn), np.sin(turn), "k", linewidth=1)
    ax.plot([-0.1, 0.0, 0.1], [1.0, 1.12, 1.0], "k", linewidth=1)
    ax.set_aspect("equal")
    ax.figure.colorbar(drawn, ax=ax, label="share of the attribution")


def _flat(direction: np.ndarray) -> np.ndarray:
    """Return a unit vector in the azimuthal equidistant view from above; the ring of 90° has radius 1."""
    x, y, z = direction
    radius = np.arccos(np.clip(z, -1.0, 1.0)) / (np.pi / 2)
    across = np.hypot(x, y)
    return np.zeros(2) if across < 1e-9 else np.array([x, y]) * radius / across


def _place(name: str) -> np.ndarray | None:
    """Return where an electrode is, or the middle between the two of a bipolar channel; None if unknown."""
    known = electrode_positions()
    ends = [name] if plain_name(name) in known else name.split("-")
    if len(ends) > 2 or any(plain_name(end) not in known for end in ends):
        return None
    middle: np.ndarray = np.sum([known[plain_name(end)] for end in ends], axis=0)
    return middle / np.linalg.norm(middle)
