"""`bci decode`: score a recording offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from apps.engine_options import add_engine_options
from apps.quality import add_quality_options, bad_channels_line, judged
from apps.session_options import add_config_option, read_alarm, read_clock, with_alarm

if TYPE_CHECKING:
    from bci.bundle import Bundle
    from bci.decoder import Prediction
    from bci.stages.quality_detector import Change
    from offline.agreement import Logged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci decode`."""
    parser.add_argument("file", type=Path, help="any recording that MNE reads (.fif, .edf, .bdf, .vhdr, .set, …)")
    parser.add_argument("--model", required=True, metavar="BUNDLE", help="directory or name of a shipped bundle")
    add_engine_options(parser)
    parser.add_argument("--log", type=Path, metavar="FILE", help="write the predictions as JSON Lines")
    parser.add_argument("--events", type=Path, metavar="FILE", help="write the alarms as a SzCORE table (_events.tsv)")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of --log and --events")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="LOG",
        help="compare with the log of a session that saw this file; 1 if they differ",
    )
    parser.add_argument("--picks", help="eeg, meg, all, or channel names joined by commas (default: EEG, else MEG)")
    parser.add_argument("--unit", help="unit of channels for which the file states none, for example uV")
    parser.add_argument(
        "--adapt", action="store_true", help="bring the file to the bundle's channels and rate, as `bci replay --like`"
    )
    add_config_option(parser)
    add_quality_options(parser)


def run(args: argparse.Namespace) -> int:
    """Decode the file, print a summary, write the log and the events if asked to."""
    import time

    from apps.adapt import adapted
    from apps.outputs import check_apart
    from bci.quality import quality_policy
    from bci.serving import serve
    from bci.sinks.szcore_sink import check_watches_seizures, table_of
    from bci.sources.recording import open_recording
    from offline.agreement import compare
    from offline.score import score_recording

    if args.log is not None:
        _check_output("log", args.log, args.file, args.overwrite)
    if args.events is not None:
        check_apart(args.log, args.events)
        _check_output("table of events", args.events, args.file, args.overwrite)
    clock, alarm = (read_clock(args.config), read_alarm(args.config)) if args.config is not None else (None, {})
    recording = adapted(open_recording(args.file, unit=args.unit, picks=args.picks), args.model if args.adapt else None)
    served = judged(
        serve(args.model, args.engine, args.precision, args.remeasure, False), args.quality, args.min_channels
    )
    served = with_alarm(served, alarm)
    bundle = served.bundle
    if args.events is not None:
        check_watches_seizures(bundle.decision)
    logged = _logged(args.against, bundle) if args.against is not None else None
    started = time.perf_counter()
    changes: list[Change] = []
    predictions = score_recording(
        recording, bundle.pipeline, served.engine, bundle.decision, clock, tell=changes.append
    )
    spent_s = time.perf_counter() - started
    recording.close()
    if args.log is not None:
        _write("log", args.log, _log_text(predictions, bundle.decision.classes))
    if args.events is not None:
        table = table_of(predictions, recording.signal.sfreq, recording.n_samples, recording.started)
        _write("table of events", args.events, table.to_tsv())
    _print_summary(predictions, bundle.decision.classes)
    if quality_policy(bundle.pipeline)[0] != "off":
        print(bad_channels_line(changes, recording.n_samples))
    print(served.engine_report)
    length_s = recording.n_samples / recording.signal.sfreq
    print(
        f"{len(predictions)} predictions over {length_s:.1f} s in {spent_s:.2f} s "
        f"({length_s / spent_s:.0f} times real time, engine {served.engine_report.name})."
        + (f" Log: {args.log}" if args.log else "")
        + (f" Events: {args.events}" if args.events else "")
    )
    if logged is None:
        return 0
    agreement = compare(logged, predictions)
    print(agreement)
    return 0 if agreement.holds else 1


def _logged(path: Path, bundle: Bundle) -> Logged:
    from bci.errors import UsageError
    from offline.agreement import read_predictions

    logged = read_predictions(path, bundle.decision.classes)
    if logged.bundle_sha256 not in (None, bundle.sha256):
        raise UsageError(
            f"--against must be the log of a session with the same model, got {path.name} of another version. "
            "Choose the model of the session."
        )
    return logged


def _check_output(what: str, path: Path, recording: Path, overwrite: bool) -> None:
    from bci.errors import UsageError
    from bci.sinks.jsonl_sink import check_log

    check_log(path, what)
    if not path.exists():
        return
    if recording.exists() and path.samefile(recording):
        raise UsageError(f"The {what} needs a file of its own, got the recording {recording}. Choose another name.")
    if not overwrite:
        raise UsageError(
            f"The {what} needs a new file, got {path}, which exists. Choose another name, or add --overwrite."
        )


def _log_text(predictions: list[Prediction], classes: tuple[str, ...]) -> str:
    import json

    from bci.sinks.jsonl_sink import prediction_record

    return "".join(json.dumps(prediction_record(p, classes), allow_nan=False) + "\n" for p in predictions)


def _write(what: str, path: Path, text: str) -> None:
    from bci.errors import UsageError
    from bci.seizure_table import write_whole

    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(f"The {what} needs a file that can be written, got {path}: {error.strerror}.") from error


def _print_summary(predictions: list[Prediction], classes: tuple[str, ...]) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    probabilities = np.stack([p.probabilities for p in predictions])
    table = Table("class", "mean probability", "windows won")
    for i, name in enumerate(classes):
        row = Text(name)  # a name may hold brackets, which rich would take for markup
        table.add_row(row, f"{probabilities[:, i].mean():.3f}", str(int((probabilities.argmax(1) == i).sum())))
    Console().print(table)
    for p in predictions:
        if p.changed is not None:
            print(f"{p.changed} at {p.time:.2f} s (level {p.level:.2f})")
