"""Decode a whole recording at once: the independent reference of the streaming decoder.

The pipeline sees each stretch of the recording in one call, windows are cut by index, and the network runs in batches.
Nothing here uses `bci.decoder.Decoder` or a ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bci.clock import ClockSpec
from bci.decision import Decision, DecisionSpec
from bci.decoder import Ledger, Prediction
from bci.engines.base import Engine
from bci.errors import RecordingError
from bci.matching import channel_rows
from bci.pipeline import Pipeline, PipelineSpec, window_starts
from bci.serving import windows_at
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording

BATCH = 64
NO_LEDGER = Ledger(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples between two long gaps.

    Parameters
    ----------
    data : ndarray of float32, shape (n_channels, n_samples)
        Samples, short gaps filled.
    filled : ndarray of bool, shape (n_samples,)
        Where they were made up.
    first_sample : int
        Index of the first in the recording.
    """

    data: np.ndarray
    filled: np.ndarray
    first_sample: int


def score_recording(
    recording: Recording | AdaptedRecording,
    pipeline: PipelineSpec,
    engine: Engine,
    decision: DecisionSpec,
    clock: ClockSpec | None = None,
) -> list[Prediction]:
    """Decode a recording.

    Parameters
    ----------
    recording : Recording
        What to decode; its channels may stand in another order than the pipeline's.
    pipeline : PipelineSpec
    engine : Engine
    decision : DecisionSpec
    clock : ClockSpec or None, default=None
        Rule for gaps; None takes the default of live sessions.

    Returns
    -------
    predictions : list of Prediction
        ``time`` is in seconds after the recording's first sample; ledgers are empty.

    Raises
    ------
    ChannelMismatch
        If the recording does not fit the pipeline.
    RecordingError
        If it is too short for one window.
    """
    rows = channel_rows(pipeline.signal, recording.signal)
    running = pipeline.build()
    judge = Decision(decision, pipeline.window.hop_s)
    predictions: list[Prediction] = []
    for stretch in stretches(recording, rows, (clock or ClockSpec()).max_fill_s):
        judge.restart()
        predictions += _score_stretch(stretch, running, engine, judge, len(predictions))
    if not predictions:
        raise RecordingError(
            f"{recording.path.name} must hold at least one window of {pipeline.window.length_s:g} s, "
            f"got {recording.n_samples / recording.signal.sfreq:g} s. Use a longer recording."
        )
    return predictions


def stretches(recording: Recording | AdaptedRecording, rows: np.ndarray, max_fill_s: float) -> Iterator[Stretch]:
    """Yield the stretches of a recording between gaps longer than `max_fill_s`, with shorter ones filled linearly."""
    sfreq = recording.signal.sfreq
    short = [(a, b) for a, b in recording.gaps if a > 0 and b < recording.n_samples and b - a <= max_fill_s * sfreq]
    long = [gap for gap in recording.gaps if gap not in short]
    begins = [0, *[b for _, b in long]]
    ends = [*[a for a, _ in long], recording.n_samples]
    for begin, end in zip(begins, ends, strict=True):
        if begin >= end:
            continue
        data = recording.read(begin, end)[rows]
        filled = np.zeros(end - begin, dtype=bool)
        for a, b in ((a - begin, b - begin) for a, b in short if begin < a and b < end):
            share = np.arange(1, b - a + 1) / (b - a + 1)
            data[:, a:b] = data[:, a - 1, None] + (data[:, b] - data[:, a - 1])[:, None] * share
            filled[a:b] = True
        yield Stretch(data, filled, begin)


def _score_stretch(
    stretch: Stretch, pipeline: Pipeline, engine: Engine, judge: Decision, n_before: int
) -> list[Prediction]:
    pipeline.reset()
    block = pipeline.process(stretch.data, stretch.filled)
    n = pipeline.window_frames
    starts = window_starts(block.data.shape[-1], pipeline)
    columns = block.data.astype(np.float32)
    warmup = int(np.ceil(pipeline.warmup_s * pipeline.signal_in.sfreq))
    predictions: list[Prediction] = []
    for first in range(0, len(starts), BATCH):
        batch_starts = starts[first : first + BATCH]
        logits = engine(np.ascontiguousarray(windows_at(columns, batch_starts, n)))
        for start, row in zip(batch_starts, logits, strict=True):
            seen = slice(max(0, start - pipeline.lead_frames), start + n)
            quality = float(np.average(block.valid[seen], weights=block.n_new[seen]))
            verdict = judge.step(row, quality, bool(block.last_input[start] >= warmup))
            last_sample = stretch.first_sample + int(block.last_input[start + n - 1])
            predictions.append(
                Prediction(
                    index=n_before + len(predictions),
                    last_sample=last_sample,
                    time=last_sample / pipeline.signal_in.sfreq,
                    logits=row,
                    probabilities=verdict.probabilities,
                    quality=quality,
                    state=verdict.state,
                    changed=verdict.changed,
                    level=verdict.level,
                    ledger=NO_LEDGER,
                )
            )
    return predictions
