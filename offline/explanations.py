"""Explanations of a bundle on recordings: averaged per class, drawn, and checked against a randomised network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
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
from offline.explain import METHODS, channel_shares, explain, map_cells, randomised, similarity
from offline.explain_figures import Row, draw_explanations, meaning, resolution
from offline.explain_reader import View, open_network, pipeline_view, spectra

SAME = 0.5  # rank correlation above which an explanation hardly depends on the weights

Parts = tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClassMean:
    """Windows that were averaged for a class.

    Parameters
    ----------
    n_windows, n_files : int
        How many, and of how many files; each file weighs the same.
    predicted : bool
        Whether these are the windows that the network gives to the class, or all there are.
    spectra : tuple of ndarray
        Mean of each part of what the network reads, shape (n_channels[, n_features], n_times).
    """

    n_windows: int
    n_files: int
    predicted: bool
    spectra: Parts

    def __str__(self) -> str:
        windows, files = _number(self.n_windows, "window"), _number(self.n_files, "file")
        return (
            f"{windows} predicted so, of {files}"
            if self.predicted
            else f"{'all ' if self.n_windows > 1 else ''}{windows} of {files}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What one method says.

    Parameters
    ----------
    attributions : mapping of str to tuple of ndarray
        Class → mean attribution of each part, as `offline.explain.explain` gives it.
    shares : mapping of str to tuple of ndarray
        Class → mean share of each channel in each part, shape (n_channels,).
    cells : tuple of int or None
        Rows and columns of its maps; None if it attributes to every value.
    similarity, size_similarity, channel_similarity : float or None
        Rank correlation with the explanation of a network with random weights, window by window: of the values, of
        their sizes, of the channels' shares. None where one of the two is constant.
    """

    attributions: Mapping[str, Parts]
    shares: Mapping[str, Parts]
    cells: tuple[int, int] | None
    similarity: float | None
    size_similarity: float | None
    channel_similarity: float | None

    @property
    def has_channels(self) -> bool:
        """Whether the attribution itself tells channels apart."""
        return self.cells is None or all(part.ndim == 3 for parts in self.attributions.values() for part in parts)

    def verdict(self) -> str:
        """Say whether it may be read."""
        if self.similarity is None or self.size_similarity is None:
            return "constant, or so for a randomised network; it cannot be checked: do not read it."
        found = f"rank correlation with a randomised network {self.similarity:.2f}"
        if self.similarity >= SAME:
            return f"{found}; it hardly depends on the weights: do not read it."
        if self.size_similarity >= SAME:
            return (
                f"{found}, of sizes {self.size_similarity:.2f}; its signs change with the weights, its sizes follow "
                "the input: do not read its scalp map."
            )
        if self.channel_similarity is None:
            return f"{found}; it changes with the weights. Its channels cannot be checked: do not read its scalp map."
        found = f"{found}, of channels {self.channel_similarity:.2f}"
        if self.channel_similarity >= SAME:
            return f"{found}; it changes with the weights, its channels hardly: do not read its scalp map."
        return f"{found}; it changes with the weights."


@dataclass(frozen=True, slots=True, eq=False)
class Explanations:
    """Mean explanations of classes by several methods.

    Parameters
    ----------
    title : str
        Bundle and recordings.
    channels : tuple of str
        Names of the network's channels.
    views : tuple of View
        Axes of each part of what the network reads.
    classes : mapping of str to ClassMean
        What was averaged.
    methods : mapping of str to Explained
        By the name of the method.
    absent : tuple of str, default=()
        Classes that no window is predicted to be of.
    """

    title: str
    channels: tuple[str, ...]
    views: tuple[View, ...]
    classes: Mapping[str, ClassMean]
    methods: Mapping[str, Explained]
    absent: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the findings in words."""
        lines = [
            f"{name}: mean of {mean}{'; each file weighs the same' if mean.n_files > 1 else ''}."
            for name, mean in self.classes.items()
        ]
        lines += [f"{name}: no window is predicted so; --class explains the evidence for it." for name in self.absent]
        lines += [
            f"{name}: {resolution(found.cells, found.has_channels)}; {found.verdict()}"
            for name, found in self.methods.items()
        ]
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
        for method, found in self.methods.items():
            rows = [
                Row(
                    f"{'' if mean.predicted else 'evidence for '}{name}: {mean}",
                    view,
                    mean.spectra[j],
                    found.attributions[name][j],
                    found.shares[name][j],
                )
                for name, mean in self.classes.items()
                for j, view in enumerate(self.views)
            ]
            draw_explanations(folder / f"{method}.png", f"{self.title}: {method}", self.channels, rows, found.cells)
            arrays: dict[str, Any] = {
                f"class_{i}" if len(parts) == 1 else f"class_{i}_view_{j}": part
                for i, parts in enumerate(found.attributions.values())
                for j, part in enumerate(parts)
            }
            np.savez(folder / f"{method}.npz", **arrays)
        text = json.dumps(self._record(), indent=1, allow_nan=False)
        (folder / "explanation.json").write_text(text + "\n", encoding="utf-8")

    def _record(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "classes": list(self.classes),
            "windows": {name: mean.n_windows for name, mean in self.classes.items()},
            "files": {name: mean.n_files for name, mean in self.classes.items()},
            "only_predicted": {name: mean.predicted for name, mean in self.classes.items()},
            "channels": list(self.channels),
            "views": [
                {
                    "name": view.name,
                    "frequencies_hz": None if view.freqs_hz is None else view.freqs_hz.tolist(),
                    "times_s": view.times_s.tolist(),
                }
                for view in self.views
            ],
            "map_cells": {method: found.cells for method, found in self.methods.items()},
            "channel_shares": {
                method: {name: total(*parts).tolist() for name, parts in found.shares.items()}
                for method, found in self.methods.items()
            },
            "channel_shares_of": {
                method: meaning(found.has_channels).replace("\n", " ") for method, found in self.methods.items()
            },
            "similarity_to_randomised": {method: found.similarity for method, found in self.methods.items()},
            "size_similarity_to_randomised": {method: found.size_similarity for method, found in self.methods.items()},
            "channel_similarity_to_randomised": {
                method: found.channel_similarity for method, found in self.methods.items()
            },
        }


def total(*shares: np.ndarray) -> np.ndarray:
    """Return the share of each channel over all parts, shape (n_channels,); they add up to 1, or are all 0."""
    sizes = np.sum(shares, axis=0)
    return np.asarray(sizes / max(float(sizes.sum()), np.finfo(np.float64).tiny))


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


def check_classes(bundle: Bundle, names: Sequence[str]) -> None:
    """Refuse classes that a bundle does not tell apart.

    Raises
    ------
    UsageError
        If there is one.
    """
    for name in names:
        if name not in bundle.decision.classes:
            raise UsageError(
                f"There is no class {name!r} in this bundle. Classes: {', '.join(bundle.decision.classes)}."
            )


def explain_windows(
    bundle: Bundle,
    title: str,
    files: Sequence[np.ndarray],
    methods: tuple[str, ...],
    seed: int,
    names: Sequence[str] = (),
) -> Explanations:
    """Explain windows of several files, averaged over the windows of a file and then over the files.

    Parameters
    ----------
    bundle : Bundle
    title : str
        Of the pictures.
    files : sequence of ndarray of float32, each of shape (n_windows, n_channels[, n_features], n_times)
        Windows of each file, as `recording_windows` gives them.
    methods : tuple of str
        Of `offline.explain.METHODS`.
    seed : int
        Of the randomised network.
    names : sequence of str, default=()
        Classes whose evidence is explained on all windows. None: each window is explained for the class that the
        network gives it, and averaged into that.

    Returns
    -------
    explanations : Explanations

    Raises
    ------
    UsageError
        If a method does not fit the network, or a class is unknown.
    """
    check_classes(bundle, names)
    network, known = bundle.network(), bundle.decision.classes
    windows, file = np.concatenate(files), np.repeat(np.arange(len(files)), [len(part) for part in files])
    random = randomised(lambda: build(bundle.model), windows, seed)
    if names:  # every window once for each class
        classes = np.repeat([known.index(name) for name in names], len(windows))
        windows, file = np.concatenate([windows] * len(names)), np.tile(file, len(names))
    else:
        with torch.no_grad():
            classes = network(torch.from_numpy(windows)).argmax(dim=1).numpy()
    of_class = {known[k]: np.where(classes == k, file, -1) for k in np.unique(classes)}
    pipeline, reader = bundle.pipeline.build(), open_network(network)
    read = spectra(reader, windows)
    means = {
        name: ClassMean(int((of >= 0).sum()), len(np.unique(of[of >= 0])), not names, file_mean(read, of))
        for name, of in of_class.items()
    }
    return Explanations(
        title,
        pipeline.signal_out.names,
        reader.views(pipeline_view(pipeline)),
        means,
        {method: _explained(network, random, windows, classes, method, of_class) for method in methods},
        () if names else tuple(name for name in known if name not in means),
    )


def _explained(
    network: torch.nn.Module,
    random: torch.nn.Module,
    windows: np.ndarray,
    classes: np.ndarray,
    method: str,
    of_class: Mapping[str, np.ndarray],
) -> Explained:
    found, other = (explain(module, windows, classes, method) for module in (network, random))
    shares = channel_shares(network, windows, classes, found)
    return Explained(
        {name: file_mean(found, of) for name, of in of_class.items()},
        {name: file_mean(shares, of) for name, of in of_class.items()},
        map_cells(network, windows, method),
        similarity(found, other),
        similarity(tuple(map(np.abs, found)), tuple(map(np.abs, other))),
        similarity(shares, channel_shares(random, windows, classes, other)),
    )


def file_mean(parts: Parts, file: np.ndarray) -> Parts:
    """Return the mean over files of the mean over each one's windows.

    Parameters
    ----------
    parts : tuple of ndarray, each of shape (n_windows, ...)
    file : ndarray of int, shape (n_windows,)
        File of each window; those of -1 are left out.
    """
    files = np.unique(file[file >= 0])
    return tuple(np.mean([part[file == k].mean(axis=0) for k in files], axis=0) for part in parts)


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


def _number(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
