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
from bci.chunk import Signal
from bci.errors import RecordingError, UsageError
from bci.matching import channel_rows
from bci.pipeline import window_starts
from bci.serving import windows_at
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording
from bci.stages.logmel import LogMel
from models.registry import build
from offline.explain import METHODS, explain, randomised, similarity
from offline.explain_figures import channel_weights, draw_explanations

SAME = 0.5  # rank correlation above which an explanation hardly depends on the weights


@dataclass(frozen=True, slots=True)
class Explanations:
    """Mean explanations of the windows that a network gives to each class.

    Parameters
    ----------
    title : str
        Bundle and recording.
    signal : Signal
        What the network is fed.
    freqs : ndarray or None
        Centre frequencies in Hz, where the network is fed a spectrum.
    counts : mapping of str to int
        Windows of each class that occurs.
    means : mapping of str to ndarray
        Mean window of each class.
    attributions : mapping of str to mapping of str to ndarray
        Method → class → mean attribution, as `offline.explain.explain` gives it.
    similarities : mapping of str to float
        Method → rank correlation with the explanation of a network with random weights.
    """

    title: str
    signal: Signal
    freqs: np.ndarray | None
    counts: Mapping[str, int]
    means: Mapping[str, np.ndarray]
    attributions: Mapping[str, Mapping[str, np.ndarray]]
    similarities: Mapping[str, float]

    def lines(self) -> list[str]:
        """Return the findings in words."""
        lines = [f"{name}: {n} windows" for name, n in self.counts.items()]
        for method, value in self.similarities.items():
            verdict = "changes with the weights" if value < SAME else "hardly depends on the weights: do not read it"
            lines.append(f"{method}: rank correlation with a randomised network {value:.2f}; it {verdict}.")
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
                folder / f"{method}.png", title, self.signal, self.freqs, self.means, by_class, self.counts
            )
            arrays: dict[str, Any] = {f"class_{i}": by_class[name] for i, name in enumerate(by_class)}
            np.savez(folder / f"{method}.npz", **arrays)
            if all(by_class[name].shape == self.means[name].shape for name in by_class):
                shares[method] = {name: channel_weights(value).tolist() for name, value in by_class.items()}
        record = {
            "title": self.title,
            "classes": list(self.counts),
            "windows": dict(self.counts),
            "channels": list(self.signal.names),
            "frequencies_hz": None if self.freqs is None else self.freqs.tolist(),
            "columns_per_second": self.signal.sfreq,
            "channel_shares": shares,
            "similarity_to_randomised": dict(self.similarities),
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
    random = randomised(lambda: build(bundle.model), seed)
    present = {bundle.decision.classes[k]: classes == k for k in np.unique(classes)}
    attributions, similarities = {}, {}
    for method in methods:
        found = explain(network, windows, classes, method)
        attributions[method] = {name: found[which].mean(axis=0) for name, which in present.items()}
        similarities[method] = similarity(found, explain(random, windows, classes, method))
    stages = bundle.pipeline.stages
    freqs = next((stage.centres_hz for stage in stages if isinstance(stage, LogMel)), None)
    return Explanations(
        f"{bundle.name} on {recording.path.name}",
        bundle.pipeline.build().signal_out,
        freqs,
        {name: int(which.sum()) for name, which in present.items()},
        {name: windows[which].mean(axis=0) for name, which in present.items()},
        attributions,
        similarities,
    )


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
