"""Channels of an explanation as a picture: on the scalp where their electrodes are known, else as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bci.stages.electrodes import electrode_positions, plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_ELECTRODES = 8  # a map of fewer is mostly invention
MAX_BARS = 16


def draw_channels(ax: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    """Draw the share of each channel where its electrode is, or as bars where too few places are known.

    Parameters
    ----------
    ax : Axes
    shares : ndarray, shape (n_channels,)
        Not below 0.
    names : sequence of str
        Of the channels.
    """
    if not shares.any():
        ax.set_axis_off()
        ax.text(0.5, 0.5, "nothing to share", ha="center", va="center", transform=ax.transAxes)
        return
    known = [i for i, name in enumerate(names) if _place(name) is not None]
    if len(known) < MIN_ELECTRODES:
        _bars(ax, shares, names)
    else:
        _scalp(ax, shares[known], [names[i] for i in known])


def _bars(ax: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    largest = np.sort(np.argsort(-shares, kind="stable")[:MAX_BARS])[::-1]  # in the order of the channels, from above
    ax.barh(np.arange(len(largest)), shares[largest], color="tab:orange")
    ax.set_yticks(np.arange(len(largest)), [plain(names[i]) for i in largest])
    of = f" (largest {MAX_BARS} of {len(names)})" if len(names) > MAX_BARS else ""
    ax.set_xlabel(f"share of each channel{of}")


def _scalp(ax: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    from matplotlib.patheffects import withStroke
    from scipy.interpolate import RBFInterpolator

    at = np.array([_flat(place) for place in map(_place, names) if place is not None])
    side = np.linspace(-1.3, 1.3, 180)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    values = RBFInterpolator(at, shares, kernel="linear")(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    rim = max(1.0, float(np.hypot(*at.T).max()))  # electrodes below the ring of the ears stand outside of it
    values[np.hypot(grid[..., 0], grid[..., 1]) > rim] = np.nan
    ax.set_axis_off()
    most = float(shares.max())
    drawn = ax.imshow(
        np.clip(values, 0.0, most), origin="lower", extent=(-1.3, 1.3, -1.3, 1.3), cmap="magma", vmin=0.0, vmax=most
    )
    ax.plot(at[:, 0], at[:, 1], "o", color="white", markeredgecolor="black", markersize=3.5, markeredgewidth=0.6)
    for i in np.argsort(-shares, kind="stable")[:3]:
        label = ax.annotate(plain(names[i]), at[i], (0, 4), textcoords="offset points", ha="center", fontsize=8)
        label.set_path_effects([withStroke(linewidth=2, foreground="white")])
    turn = np.linspace(0, 2 * np.pi, 100)
    ax.plot(rim * np.cos(turn), rim * np.sin(turn), "k", linewidth=1)
    ax.plot([-0.1, 0.0, 0.1], [rim - 0.005, rim + 0.12, rim - 0.005], "k", linewidth=1)
    ax.set_aspect("equal")
    ax.figure.colorbar(drawn, ax=ax, label="share of each channel")


def plain(text: str) -> str:
    """Return text from outside without matplotlib's mathematics."""
    return text.replace("$", r"\$")


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
