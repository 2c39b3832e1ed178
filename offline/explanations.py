"""Explanations of a bundle on a recording: averaged per class, drawn, and checked against a randomised network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bci.bundle import Bundle
from bci.errors import RecordingError, UsageError
from bci.matching import channel_rows
from bci.pipeline import window_starts
from bci.serving import windows_at
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording
from models.registry import build
from offline.explain import METHODS, explain, randomised, similarity
from offline.explain_figures import channel_weights, draw_explanations
from offline.explain_reader import View, open_network, pipeline_view, spectra

SAME = 0.5  # rank correlation above which an explanation hardly depends on the weights


@dataclass(frozen=True, slots=True)
class Explanations:
    """Mean explanations of the windows that a network gives to each class.

    Parameters
    ----------
    title : str
        Bundle and recording.
    channels : tuple of str
        Names of the network's channels.
    views : tuple of View
        Axes of each part of what the network reads.
    counts : mapping of str to int
        Windows of each class that occurs.
    means : mapping of str to tuple of ndarray
        Class → mean of each part, shape (n_channels[, n_features], n_times).
    attributions : mapping of str to mapping of str to tuple of ndarray
        Method → class → mean attribution of each part, as `offline.explain.explain` gives it.
    similarities, size_similarities : mapping of str to float or None
        Method → rank correlation with the explanation of a network with random weights, of the values and of their
        sizes; None where one of the two is constant.
    """

    title: str
    channels: tuple[str, ...]
    views: tuple[View, ...]
    counts: Mapping[str, int]
    means: Mapping[str, tuple[np.ndarray, ...]]
    attributions: Mapping[str, Mapping[str, tuple[np.ndarray, ...]]]
    similarities: Mapping[str, float | None]
    size_similarities: Mapping[str, float | None]

    def lines(self) -> list[str]:
        """Return the findings in words."""
        lines = [f"{name}: {n} windows" for name, n in self.counts.items()]
        for method, value in self.similarities.items():
            lines.append(f"{method}: {_verdict(value, self.size_similarities[method])}")
        return lines

    def write(self, folder: Path) -> None:
        """Write a PNG and an NPZ for each method and ``explanation.json``: all of it or nothing.

        Raises
        ------
        UsageError
            If the folder cannot be written.
        """
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".explain-") as scratch:
                made = Path(scratch) / "made"
                made.mkdir()
                self._fill(made)
                made.rename(folder)
        except OSError as error:
            raise UsageError(f"--out needs a folder that can be written, got {folder}: {error.strerror}.") from error

    def _fill(self, folder: Path) -> None:
        shares: dict[str, dict[str, list[float]]] = {}
        for method, by_class in self.attributions.items():
            title = f"{self.title}: {method}"
            draw_explanations(
                folder / f"{method}.png", title, self.channels, self.views, self.means, by_class, self.counts
            )
            arrays: dict[str, Any] = {
                f"class_{i}" if len(parts) == 1 else f"class_{i}_view_{j}": part
                for i, parts in enumerate(by_class.values())
                for j, part in enumerate(parts)
            }
            np.savez(folder / f"{method}.npz", **arrays)
            if all(
                a.ndim == b.ndim for name in by_class for a, b in zip(by_class[name], self.means[name], strict=True)
            ):
                shares[method] = {name: channel_weights(*parts).tolist() for name, parts in by_class.items()}
        record = {
            "title": self.title,
            "classes": list(self.counts),
            "windows": dict(self.counts),
            "channels": list(self.channels),
            "views": [
                {
                    "name": view.name,
                    "frequencies_hz": None if view.freqs_hz is None else view.freqs_hz.tolist(),
                    "times_s": view.times_s.tolist(),
                }
                for view in self.views
            ],
            "channel_shares": shares,
            "similarity_to_randomised": dict(self.similarities),
            "size_similarity_to_randomised": dict(self.size_similarities),
        }
        (folder / "explanation.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def check_methods(methods: tuple[str, ...]) -> None:
    """Refuse unknown methods.

    Raises
    ------
    UsageError
        If one is unknown.
    """
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"There is no method {method!r} of explanation. Methods: {', '.join(METHODS)}.")


def explain_recording(
    bundle: Bundle, recording: Recording | AdaptedRecording, methods: tuple[str, ...], n_windows: int, seed: int
) -> Explanations:
    """Explain windows spread over a recording, each for the class that the network gives it.

    Parameters
    ----------
    bundle : Bundle
    recording : Recording
        Fits the bundle's pipeline.
    methods : tuple of str
        Of `offline.explain.METHODS`.
    n_windows : int
        At most so many.
    seed : int
        Of the randomised network.

    Returns
    -------
    explanations : Explanations

    Raises
    ------
    ChannelMismatch
        If the recording does not fit the bundle.
    RecordingError
        If it is shorter than a window.
    UsageError
        If a method does not fit the network.
    """
    network = bundle.network()
    windows = recording_windows(bundle, recording, n_windows)
    with torch.no_grad():
        classes = network(torch.from_numpy(windows)).argmax(dim=1).numpy()
    random = randomised(lambda: build(bundle.model), windows, seed)
    present = {bundle.decision.classes[k]: classes == k for k in np.unique(classes)}
    attributions, similarities, sizes = {}, {}, {}
    for method in methods:
        found = explain(network, windows, classes, method)
        attributions[method] = _by_class(found, present)
        other = explain(random, windows, classes, method)
        similarities[method] = similarity(found, other)
        sizes[method] = similarity(tuple(map(np.abs, found)), tuple(map(np.abs, other)))
    pipeline = bundle.pipeline.build()
    reader = open_network(network)
    return Explanations(
        f"{bundle.name} on {recording.path.name}",
        pipeline.signal_out.names,
        reader.views(pipeline_view(pipeline)),
        {name: int(which.sum()) for name, which in present.items()},
        _by_class(spectra(reader, windows), present),
        attributions,
        similarities,
        sizes,
    )


def _verdict(value: float | None, of_sizes: float | None) -> str:
    """Say whether an explanation may be read."""
    if value is None or of_sizes is None:
        return "constant, or so for a randomised network; it cannot be checked: do not read it."
    found = f"rank correlation with a randomised network {value:.2f}"
    if value >= SAME:
        return f"{found}; it hardly depends on the weights: do not read it."
    if of_sizes >= SAME:
        return (
            f"{found}, of sizes {of_sizes:.2f}; its signs change with the weights, its sizes follow the input: "
            "do not read its scalp map."
        )
    return f"{found}; it changes with the weights."


def _by_class(parts: tuple[np.ndarray, ...], present: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the mean of each part over the windows of each class."""
    return {name: tuple(part[which].mean(axis=0) for part in parts) for name, which in present.items()}


def recording_windows(bundle: Bundle, recording: Recording | AdaptedRecording, n_windows: int) -> np.ndarray:
    """Return at most `n_windows` windows, evenly spread, as the network is fed: float32 (n, *column_shape, n_columns).

    Raises
    ------
    ChannelMismatch
        If the recording does not fit the bundle.
    RecordingError
        If it is shorter than a window.
    """
    rows = channel_rows(bundle.pipeline.signal, recording.signal, "recording")
    pipeline = bundle.pipeline.build()
    columns = pipeline.process(recording.read(0, recording.n_samples)[rows]).data.astype(np.float32)
    starts = np.asarray(window_starts(columns.shape[-1], pipeline))
    if len(starts) == 0:
        raise RecordingError(
            f"{recording.path.name} must hold at least one window of {bundle.pipeline.window.length_s:g} s to be "
            f"explained, got {recording.n_samples / recording.signal.sfreq:g} s. Use a longer recording."
        )
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(n_windows, len(starts))).round().astype(int))
    return np.ascontiguousarray(windows_at(columns, starts[chosen], pipeline.window_frames))
