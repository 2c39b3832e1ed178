"""Decode a whole recording: the independent reference of the streaming decoder.

The pipeline sees each stretch of the recording in blocks of a minute, so that memory does not grow with the recording;
windows are cut by index. A network with state runs along each block as a whole. Reading, the pipeline and the network
work at the same time, on different blocks. Nothing here uses `bci.decoder.Decoder` or a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bci.clock import ClockSpec
from bci.decision import Decision, DecisionSpec
from bci.decoder import Ledger, Prediction
from bci.engines.base import Engine, StatefulEngine, WarmEngine
from bci.errors import RecordingError
from bci.matching import channel_rows
from bci.pipeline import Block, Pipeline, PipelineSpec
from bci.serving import windows_at
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording
from bci.stages.quality_detector import Change
from offline.ahead import ahead

GPU_BATCH = 64  # on a processor single windows are faster: their layers fit into its cache
BLOCK_S = 60.0
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
    engine: Engine | StatefulEngine,
    decision: DecisionSpec,
    clock: ClockSpec | None = None,
    block_s: float = BLOCK_S,
    tell: Callable[[Change], None] | None = None,
) -> list[Prediction]:
    """Decode a recording.

    Parameters
    ----------
    recording : Recording
        What to decode; its channels may stand in another order than the pipeline's.
    pipeline : PipelineSpec
    engine : Engine or StatefulEngine
    decision : DecisionSpec
    clock : ClockSpec or None, default=None
        Rule for gaps; None takes the default of live sessions.
    block_s : float, default=60.0
        How much is read and filtered at once, in seconds; bounds the memory, changes no prediction.
    tell : callable or None, default=None
        Is given each channel that turns bad or good again, with its sample in the recording, if channels are judged.

    Returns
    -------
    predictions : list of Prediction
        ``time`` is in seconds after the recording's first sample; ledgers are empty.

    Raises
    ------
    ChannelMismatch
        If the recording does not fit the pipeline.
    RecordingError
        If it is too short for one window, or for a network with state for one prediction.
    """
    rows = channel_rows(pipeline.signal, recording.signal, "recording")
    running = pipeline.build()
    judge = Decision(decision, pipeline.window.hop_s)
    predictions: list[Prediction] = []
    n_samples = max(1, round(block_s * recording.signal.sfreq))
    for stretch in stretches(recording, (clock or ClockSpec()).max_fill_s):
        judge.restart()
        running.reset()
        read = ahead(read_blocks(recording, rows, stretch, n_samples))
        blocks = ahead(running.process(data, filled) for data, filled in read)
        if isinstance(engine, StatefulEngine):
            predictions += _follow_stretch(blocks, stretch, running, engine, judge, len(predictions))
        else:
            predictions += _score_stretch(blocks, stretch, running, engine, judge, len(predictions))
        if tell is not None:
            for change in running.changes():
                tell(replace(change, sample=stretch.start + change.sample))
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
    blocks: Iterator[Block],
    stretch: Stretch,
    pipeline: Pipeline,
    engine: Engine,
    judge: Decision,
    n_before: int,
) -> list[Prediction]:
    n, lead = pipeline.window_frames, pipeline.lead_frames
    n_batch = GPU_BATCH if isinstance(engine, WarmEngine) else 1
    warmup = int(np.ceil(pipeline.warmup_s * pipeline.signal_in.sfreq))
    predictions: list[Prediction] = []
    held: Block | None = None
    dropped = 0  # columns before those that are held
    due = 0  # first column of the next window
    for block in blocks:
        held = block if held is None else _join(held, block)
        columns = held.data.astype(np.float32)
        starts = np.arange(due - dropped, columns.shape[-1] - n + 1, pipeline.hop_frames)
        for first in range(0, len(starts), n_batch):
            batch_starts = starts[first : first + n_batch]
            logits = engine(np.ascontiguousarray(windows_at(columns, batch_starts, n)))
            for start, row in zip(batch_starts, logits, strict=True):
                seen = slice(max(0, start - lead), start + n)
                quality = float(np.average(held.valid[seen], weights=held.n_new[seen]))
                last_sample = stretch.start + int(held.last_input[start + n - 1])
                settled = bool(held.last_input[start] >= warmup)
                index, sfreq = n_before + len(predictions), pipeline.signal_in.sfreq
                predictions.append(_prediction(judge, index, last_sample, sfreq, row, quality, settled))
        due += pipeline.hop_frames * len(starts)
        n_done = min(max(0, due - lead - dropped), columns.shape[-1])
        held = _tail(held, n_done)
        dropped += n_done
    return predictions


def _follow_stretch(
    blocks: Iterator[Block],
    stretch: Stretch,
    pipeline: Pipeline,
    engine: StatefulEngine,
    judge: Decision,
    n_before: int,
) -> list[Prediction]:
    """Score a stretch with a network with state: a prediction every hop, on the grid of the ends of windows."""
    n, lead, hop = pipeline.window_frames, pipeline.lead_frames, pipeline.hop_frames
    warmup = int(np.ceil(pipeline.warmup_s * pipeline.signal_in.sfreq))
    predictions: list[Prediction] = []
    state: Any = None
    known: Block | None = None  # what is known of the last columns; their data were used up
    n_columns = 0
    settled_from: int | None = None
    for block in blocks:
        if block.data.shape[-1] == 0:
            continue
        logits, state = engine.along(block.data.astype(np.float32), state)
        if settled_from is None and block.last_input[-1] >= warmup:
            settled_from = n_columns + int(np.searchsorted(block.last_input, warmup))
        bare = Block(block.data[..., :0], block.valid, block.last_input, block.n_new)
        known = bare if known is None else _join(known, bare)
        first = n_columns + len(block.valid) - len(known.valid)  # number of the first column that is known
        for column in range(n_columns + (n - 1 - n_columns) % hop, n_columns + len(block.valid), hop):
            seen = slice(max(0, column + 1 - n - lead - first), column + 1 - first)
            quality = float(np.average(known.valid[seen], weights=known.n_new[seen]))
            settled = settled_from is not None and column + 1 - n >= settled_from
            last_sample = stretch.start + int(known.last_input[column - first])
            index, row = n_before + len(predictions), logits[column - n_columns]
            predictions.append(_prediction(judge, index, last_sample, pipeline.signal_in.sfreq, row, quality, settled))
        n_columns += len(block.valid)
        known = _tail(known, max(0, len(known.valid) - n - lead))
    return predictions


def _prediction(
    judge: Decision, index: int, last_sample: int, sfreq: float, logits: np.ndarray, quality: float, settled: bool
) -> Prediction:
    at_s = last_sample / sfreq
    verdict = judge.step(logits, quality, settled, at_s)
    return Prediction(
        index=index,
        last_sample=last_sample,
        time=at_s,
        logits=logits.copy(),
        probabilities=verdict.probabilities,
        quality=quality,
        state=verdict.state,
        changed=verdict.changed,
        level=verdict.level,
        ledger=NO_LEDGER,
        alarm=verdict.alarm,
    )


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
