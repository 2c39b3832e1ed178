"""From a bundle's name to a decoder that has proven itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bci.bundle import Bundle, find_bundle, load_bundle
from bci.decoder import Decoder
from bci.engines.base import Engine, StatefulEngine
from bci.engines.ends import Ends
from bci.engines.selection import EngineReport, build_engine
from bci.errors import SchemaError
from bci.frames import can_be_framed
from bci.golden import GoldenReport, compare, require
from bci.pipeline import Pipeline, PipelineSpec, Window, window_starts
from bci.stages.logmel import LogMel

MAX_EXAMPLES = 8


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle with a running engine that reproduces its golden run.

    Parameters
    ----------
    bundle : Bundle
    engine : Engine or StatefulEngine
    engine_report : EngineReport
    golden_report : GoldenReport
    """

    bundle: Bundle
    engine: Engine | StatefulEngine
    engine_report: EngineReport
    golden_report: GoldenReport

    def decoder(self, timer: Callable[[], float] | None = None) -> Decoder:
        """Return a new decoder."""
        return Decoder(self.bundle.pipeline.build(), self.engine, self.bundle.decision, timer)


def serve(
    name: str, engine: str = "auto", precision: str = "fp32", remeasure: bool = False, spectrum_inside: bool = True
) -> Served:
    """Load a bundle, build the engine and replay the golden run.

    Parameters
    ----------
    name : str
        Directory of a bundle, or the name of a shipped one.
    engine, precision : str
        See `bci.engines.selection.build_engine`.
    remeasure : bool, default=False
        Likewise.
    spectrum_inside : bool, default=True
        Whether an engine on a GPU may take windows of the signal and compute a log-mel spectrum at the pipeline's end
        itself; a recording is scored faster without, since windows share their frames.

    Returns
    -------
    served : Served

    Raises
    ------
    BundleError
        If the bundle cannot be trusted, or does not reproduce its golden run (`ParityError`, with the numbers).
    EngineError
        If the engine cannot be built.
    """
    served = examine(name, engine, precision, remeasure, spectrum_inside)
    require(served.golden_report, served.bundle.name)
    return served


def examine(
    name: str, engine: str = "auto", precision: str = "fp32", remeasure: bool = False, spectrum_inside: bool = True
) -> Served:
    """Do what `serve` does, but leave it to the caller to judge the golden run."""
    bundle = load_bundle(find_bundle(name))
    golden = bundle.golden()
    pipeline = bundle.pipeline.build()
    network = bundle.network()
    built: Engine | StatefulEngine
    if hasattr(network, "frames"):  # it has state, see `models.causal`
        from bci.engines.stepping import build_stateful

        columns = golden_columns(golden, pipeline, bundle.name, 1)
        built, report = build_stateful(engine, network, columns, bundle.engine_key, precision)
    else:
        examples = golden_windows(golden, pipeline, bundle.name)
        inside = spectrum_inside and can_be_framed(bundle.pipeline)
        ends = ends_of(bundle, golden, len(examples)) if inside else Ends(bundle.decision.temperature)
        built, report = build_engine(
            engine, network, examples, bundle.engine_key, precision, pipeline.hop_frames, remeasure, ends
        )
    return Served(bundle, built, report, compare(golden, bundle.pipeline, bundle.decision, built))


def ends_of(bundle: Bundle, golden: dict[str, np.ndarray], n_windows: int) -> Ends:
    """Return softmax and log-mel spectrum at the pipeline's end, and the signals behind the first golden windows.

    Raises
    ------
    SchemaError
        If the pipeline has no log-mel spectrum at its end that an engine could compute.
    """
    from models.logmel import LogMelFrontEnd

    spec = bundle.pipeline
    last = spec.stages[-1] if can_be_framed(spec) else None
    if not isinstance(last, LogMel):
        raise SchemaError(f"{bundle.name}: an engine can compute a log-mel spectrum at the pipeline's end, got none.")
    running = spec.build()
    signal = running.stages[-1].signal_in
    before = PipelineSpec(spec.signal, spec.stages[:-1], Window(1 / signal.sfreq, 1 / signal.sfreq)).build()
    filtered = before.process(golden["input"]).data.astype(np.float32)
    starts = running.hop_frames * last.hop_length * np.arange(n_windows)
    n_samples = last.win_length + (running.window_frames - 1) * last.hop_length
    signals = np.ascontiguousarray(windows_at(filtered, starts, n_samples))
    return Ends(bundle.decision.temperature, LogMelFrontEnd(signal.sfreq, **asdict(last)), signals)


def golden_windows(golden: dict[str, np.ndarray], pipeline: Pipeline, name: str) -> np.ndarray:
    """Return the first windows of the golden run, float32 (n_windows, *column_shape, n_columns).

    Raises
    ------
    SchemaError
        If the golden features do not fit the pipeline.
    """
    n = pipeline.window_frames
    features = golden_columns(golden, pipeline, name, n)
    starts = window_starts(features.shape[-1], pipeline)[:MAX_EXAMPLES]
    return np.ascontiguousarray(windows_at(features, starts, n))


def golden_columns(golden: dict[str, np.ndarray], pipeline: Pipeline, name: str, n_columns: int) -> np.ndarray:
    """Return the columns of the golden run, float32 (*column_shape, n), at least `n_columns`.

    Raises
    ------
    SchemaError
        If the golden features do not fit the pipeline.
    """
    features = golden.get("features")
    if features is None or features.shape[:-1] != pipeline.signal_out.shape or features.shape[-1] < n_columns:
        raise SchemaError(
            f"{name}: golden.safetensors needs features of shape {pipeline.signal_out.shape} with at least "
            f"{n_columns} columns. Train the bundle again."
        )
    return features.astype(np.float32)


def windows_at(columns: np.ndarray, starts: np.ndarray, n_columns: int) -> np.ndarray:
    """Return windows of `columns`, shape (n_windows, *column_shape, n_columns)."""
    return np.moveaxis(sliding_window_view(columns, n_columns, axis=-1)[..., starts, :], -2, 0)
