"""Scoring a recording as fast as it goes, as a whole and by the streaming decoder: how many times real time."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from apps.bench import networks
from apps.bench.options import numbers, positive, seed
from apps.bench.report import Chart, Column, Report, Row, Table, joined
from apps.bench.workload import CHUNK_SAMPLES, DECISION, LOG_MEL, N_FRAMES, PIPELINE, SIGNAL, WINDOW_SAMPLES, recording
from bci.clock import SampleClock
from bci.decoder import Decoder
from bci.engines.base import Engine
from bci.errors import UsageError
from bci.pipeline import PipelineSpec
from bci.sources.file_source import FileSource
from bci.sources.recording import Recording, open_recording
from offline.score import score_recording

SHORTEST_S = 2 * WINDOW_SAMPLES / SIGNAL.sfreq
WHOLE, STREAMING = "whole recording", "streaming"
COLUMNS = (
    Column("hop", "s"),
    Column("predictions"),
    Column("spent", "s"),
    Column("speed", "×"),
    Column("hours", "h/s"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--length", type=positive, default=3600.0, metavar="S", help="of the recording (default 3600)")
    parser.add_argument("--models", default="mel_cnn,mel_cnn_reference", metavar="NAME,…", help="of log-mel networks")
    parser.add_argument("--hops", type=numbers, default=(1.0, 0.25), metavar="S,…", help="default 1,0.25")
    parser.add_argument("--engine", default="auto", help="auto (default) or an engine of bci engines")
    parser.add_argument(
        "--streaming", action=argparse.BooleanOptionalAction, default=True, help="measure the streaming decoder, too"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the noise that is decoded (default 0)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Write a recording to a temporary FIF file and decode it in both ways."""
    import mne
    import torch

    from bci.engines.selection import build_engine

    if args.length < SHORTEST_S:
        raise UsageError(f"--length must be at least {SHORTEST_S:g} s, got {args.length:g}.")
    torch.set_num_threads(1)
    example = networks.windows((SIGNAL.n_channels, LOG_MEL.n_mels, N_FRAMES), 2)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder:
        path = Path(folder) / "noise_raw.fif"
        volts = recording(round(args.length * SIGNAL.sfreq), args.seed) * 1e-6
        info = mne.create_info(list(SIGNAL.names), SIGNAL.sfreq, "eeg")
        mne.io.RawArray(volts, info, verbose="error").save(path, verbose="error")
        del volts
        for name in args.models.split(","):
            net = networks.network(name)
            key = networks.key_of(net, {"model": name})
            engine, report = build_engine(args.engine, net, example, key)
            for hop_s in args.hops:
                spec = replace(PIPELINE, window=replace(PIPELINE.window, hop_s=hop_s))
                for way, work in ((WHOLE, _whole), (STREAMING, _streaming)):
                    if way == STREAMING and not args.streaming:
                        continue
                    label = joined([name, f"{hop_s:g} s hop", way, report.name])
                    progress(label)
                    with contextlib.closing(open_recording(path)) as file:
                        started = time.perf_counter()
                        n = work(file, spec, engine)
                        spent_s = time.perf_counter() - started
                    speed = args.length / spent_s
                    values = {"hop": hop_s, "predictions": n, "spent": spent_s, "speed": speed, "hours": speed / 3600}
                    rows.append(Row(label, values))
    return Report(
        bench="replay",
        table=Table(f"Decoding {args.length:g} s of 19 channels at 256 Hz", COLUMNS, tuple(rows)),
        chart=Chart(("speed",)),
        settings={"length_s": args.length, "seed": args.seed},
        notes=("From opening the file on; the engine is built. The streaming decoder takes chunks of 8 samples.",),
    )


def _whole(file: Recording, spec: PipelineSpec, engine: Engine) -> int:
    return len(score_recording(file, spec, engine, DECISION))


def _streaming(file: Recording, spec: PipelineSpec, engine: Engine) -> int:
    source = FileSource(file, CHUNK_SAMPLES)
    counter = SampleClock(source.open().signal)
    decoder = Decoder(spec.build(), engine, DECISION)
    ended = False
    while not ended:
        received = source.read(0.0)
        ended = received.ended
        for chunk in counter.number(received.data, received.times)[0]:
            decoder.push(chunk)
    source.close()
    return decoder.n_predictions
