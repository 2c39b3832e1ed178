"""Decode a whole recording: the independent reference of the streaming decoder.

The pipeline sees each stretch of the recording in blocks of minutes, so that memory does not grow with the recording;
windows are cut by index, and the network runs in batches.
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
from bci.pipeline import Block, Pipeline, PipelineSpec
from bci.serving import windows_at
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording

BATCH = 64
BLOCK_S = 300.0
NO_LEDGER = Ledger(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples between two long gaps.

    Parameters
    ----------
    start, stop : int
        First sample in the recording, and the one after the last.
    short_gaps : tuple of (int, int)
        Gaps ``[start, stop)`` inside it that are filled.
    """

    start: int
    stop: int
    short_gaps: tuple[tuple[int, int], ...]


def score_recording(
    recording: Recording | AdaptedRecording,
    pipeline: PipelineSpec,
    engine: Engine,
    decision: DecisionSpec,
    clock: ClockSpec | None = None,
    block_s: float = BLOCK_S,
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
    block_s : float, default=300.0
        How much is read and filtered at once, in seconds; bounds the memory, changes no prediction.

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
    rows = channel_rows(pipeline.signal, recording.signal, "recording")
    running = pipeline.build()
    judge = Decision(decision, pipeline.window.hop_s)
    predictions: list[Prediction] = []
    n_samples = max(1, round(block_s * recording.signal.sfreq))
    for stretch in stretches(recording, (clock or ClockSpec()).max_fill_s):
        judge.restart()
        blocks = read_blocks(recording, rows, stretch, n_samples)
        predictions += _score_stretch(blocks, stretch, running, engine, judge, len(predictions))
    if not predictions:
        raise RecordingError(
            f"{recording.path.name} must hold at least one window of {pipeline.window.length_s:g} s, "
            f"got {recording.n_samples / recording.signal.sfreq:g} s. Use a longer recording."
        )
    return predictions


def stretches(recording: Recording | AdaptedRecording, max_fill_s: float) -> list[Stretch]:
    """Return what lies between the gaps that are longer than `max_fill_s`, or at an end of the recording."""
    sfreq = recording.signal.sfreq
    gaps = _joined_gaps(recording.gaps)
    short = [(a, b) for a, b in gaps if a > 0 and b < recording.n_samples and b - a <= max_fill_s * sfreq]
    long = [gap for gap in gaps if gap not in short]
    begins = [0, *[b for _, b in long]]
    ends = [*[a for a, _ in long], recording.n_samples]
    return [
        Stretch(begin, end, tuple((a, b) for a, b in short if begin < a and b < end))
        for begin, end in zip(begins, ends, strict=True)
        if begin < end
    ]


def read_blocks(
    recording: Recording | AdaptedRecording, rows: np.ndarray, stretch: Stretch, n_samples: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read a stretch in blocks of at most `n_samples`.

    Yields
    ------
    data : ndarray of float32, shape (n_rows, n)
        Samples, with short gaps filled linearly, also those that reach over the block's ends.
    filled : ndarray of bool, shape (n,)
        Where they were made up.
    """
    for start in range(stretch.start, stretch.stop, n_samples):
        stop = min(start + n_samples, stretch.stop)
        data = recording.read(start, stop)[rows]
        filled = np.zeros(stop - start, dtype=bool)
        for a, b in stretch.short_gaps:
            first, last = max(a, start), min(b, stop)
            if first >= last:
                continue
            before, after = recording.read(a - 1, a)[rows], recording.read(b, b + 1)[rows]
            share = np.arange(first - a + 1, last - a + 1) / (b - a + 1)
            data[:, first - start : last - start] = before + (after - before) * share
            filled[first - start : last - start] = True
        yield data, filled


def _joined_gaps(gaps: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """Join gaps that touch: those of a resampled recording may."""
    joined: list[tuple[int, int]] = []
    for a, b in sorted(gaps):
        if joined and a <= joined[-1][1]:
            a, b = joined[-1][0], max(b, joined.pop()[1])
        joined.append((a, b))
    return joined


def _score_stretch(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    stretch: Stretch,
    pipeline: Pipeline,
    engine: Engine,
    judge: Decision,
    n_before: int,
) -> list[Prediction]:
    pipeline.reset()
    n, lead = pipeline.window_frames, pipeline.lead_frames
    warmup = int(np.ceil(pipeline.warmup_s * pipeline.signal_in.sfreq))
    predictions: list[Prediction] = []
    held: Block | None = None
    dropped = 0  # columns before those that are held
    due = 0  # first column of the next window
    for data, filled in blocks:
        block = pipeline.process(data, filled)
        held = block if held is None else _join(held, block)
        columns = held.data.astype(np.float32)
        starts = np.arange(due - dropped, columns.shape[-1] - n + 1, pipeline.hop_frames)
        for first in range(0, len(starts), BATCH):
            batch_starts = starts[first : first + BATCH]
            logits = engine(np.ascontiguousarray(windows_at(columns, batch_starts, n)))
            for start, row in zip(batch_starts, logits, strict=True):
                seen = slice(max(0, start - lead), start + n)
                quality = float(np.average(held.valid[seen], weights=held.n_new[seen]))
                last_sample = stretch.start + int(held.last_input[start + n - 1])
                at_s = last_sample / pipeline.signal_in.sfreq
                verdict = judge.step(row, quality, bool(held.last_input[start] >= warmup), at_s)
                predictions.append(
                    Prediction(
                        index=n_before + len(predictions),
                        last_sample=last_sample,
                        time=at_s,
                        logits=row.copy(),
                        probabilities=verdict.probabilities,
                        quality=quality,
                        state=verdict.state,
                        changed=verdict.changed,
                        level=verdict.level,
                        ledger=NO_LEDGER,
                        alarm=verdict.alarm,
                    )
                )
        due += pipeline.hop_frames * len(starts)
        n_done = min(max(0, due - lead - dropped), columns.shape[-1])
        held = _tail(held, n_done)
        dropped += n_done
    return predictions


def _join(a: Block, b: Block) -> Block:
    return Block(
        np.concatenate([a.data, b.data], axis=-1),
        np.concatenate([a.valid, b.valid]),
        np.concatenate([a.last_input, b.last_input]),
        np.concatenate([a.n_new, b.n_new]),
    )


def _tail(block: Block, n_done: int) -> Block:
    """Return a copy, so that the rest can be freed."""
    return Block(
        block.data[..., n_done:].copy(),
        block.valid[n_done:].copy(),
        block.last_input[n_done:].copy(),
        block.n_new[n_done:].copy(),
    )
