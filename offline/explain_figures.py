"""Explanations as pictures: over frequency and time, over channels and time, and on the scalp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bci.chunk import Signal
from bci.stages.electrodes import electrode_positions, plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_ELECTRODES = 8  # a map of fewer is mostly invention
WIDTH_IN, ROW_IN = 11.0, 3.2


def draw_explanations(
    path: Path,
    title: str,
    signal: Signal,
    freqs: np.ndarray | None,
    means: Mapping[str, np.ndarray],
    attributions: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
) -> None:
    """Draw the mean explanation of each class beside the mean input.

    Parameters
    ----------
    path : Path
        PNG file.
    title : str
        Above all.
    signal : Signal
        What the network is fed: channel names and columns per second.
    freqs : ndarray or None, shape (n_features,)
        Centre frequencies, in Hz; None for raw signals.
    means : mapping of str to ndarray, shape (n_channels[, n_features], n_times)
        Mean window of each class.
    attributions : mapping of str to ndarray, shape (n_channels[, n_features], n_times) or (n_features, n_times)
        Mean attribution of each class.
    counts : mapping of str to int
        Windows of each class.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 0.8 + ROW_IN * len(means)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title))
    axes = figure.subplots(len(means), 3, squeeze=False, width_ratios=(1.2, 1.2, 1.0))
    for row, name in zip(axes, means, strict=True):
        mean, attribution = means[name], attributions[name]
        _picture(row[0], mean.mean(axis=0) if freqs is not None else mean, signal, freqs, "viridis", "mean input")
        signed = bool((attribution < 0).any())
        over = attribution.mean(axis=0) if attribution.ndim == 3 else attribution
        _picture(row[1], over, signal, freqs, "RdBu_r" if signed else "magma", "attribution", signed)
        row[0].set_title(_plain(f"{name} ({counts[name]} windows)"))
        _scalp(row[2], attribution, signal.names if attribution.ndim == mean.ndim else ())
    figure.savefig(path, dpi=110)


def channel_weights(attribution: np.ndarray) -> np.ndarray:
    """Return the share of each channel in the size of an attribution (n_channels, ...), shape (n_channels,)."""
    size = np.abs(attribution).reshape(len(attribution), -1).sum(axis=1)
    return np.asarray(size / max(float(size.sum()), np.finfo(np.float64).tiny))


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # no mathematics in names from outside


def _picture(
    ax: Axes,
    image: np.ndarray,
    signal: Signal,
    freqs: np.ndarray | None,
    colours: str,
    label: str,
    signed: bool = False,
) -> None:
    seconds = image.shape[-1] / signal.sfreq
    limits: dict[str, Any] = {}
    if signed:
        most = float(np.abs(image).max()) or 1.0
        limits = {"vmin": -most, "vmax": most}
    drawn = ax.imshow(
        image, origin="lower", aspect="auto", cmap=colours, extent=(-seconds, 0.0, -0.5, len(image) - 0.5), **limits
    )
    ax.set_xlabel("time before the prediction (s)")
    names = [f"{f:.3g}" for f in freqs] if freqs is not None else [_plain(name) for name in signal.names]
    at = np.unique(np.linspace(0, len(names) - 1, min(8, len(names))).round().astype(int))
    ax.set_yticks(at, [names[i] for i in at])
    ax.set_ylabel("frequency (Hz)" if freqs is not None else "channel")
    ax.figure.colorbar(drawn, ax=ax, label=label)


def _scalp(ax: Axes, attribution: np.ndarray, names: Sequence[str]) -> None:
    """Draw the share of each channel where its electrode is, or say why not."""
    places = electrode_positions()
    known = [i for i, name in enumerate(names) if plain_name(name) in places]
    ax.set_axis_off()
    if len(known) < MIN_ELECTRODES:
        reason = "this method knows no channels" if not names else f"{len(known)} electrodes are too few for a map"
        ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes)
        return
    from scipy.interpolate import RBFInterpolator

    weights = channel_weights(attribution)[known]
    at = np.array([_flat(places[plain_name(names[i])]) for i in known])
    side = np.linspace(-1.15, 1.15, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    values = RBFInterpolator(at, weights, smoothing=1e-3)(grid.reshape(-1, 2)).reshape(80, 80)
    values[np.hypot(grid[..., 0], grid[..., 1]) > 1.12] = np.nan
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
