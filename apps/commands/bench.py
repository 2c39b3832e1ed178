"""`bci bench`: latency, speed and capacity on this machine, beside the peers, and held to what is demanded."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.cli import EXIT_FAILURE, Parser

if TYPE_CHECKING:
    from apps.bench.claims import Claim
    from apps.bench.report import Report


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark: its module has ``COLUMNS``, ``add_arguments(parser)`` and ``bench(args, progress) -> Report``."""

    module: str
    line: str
    aliases: tuple[str, ...] = ()


BENCHES = {
    "e2e": Bench("apps.bench.latency", "push → prediction over real LSL, beside mne-lsl + torch.stft"),
    "stages": Bench("apps.bench.stages", "cost of each stage over channels, rate and chunk size"),
    "engines": Bench("apps.bench.engines", "latency and build time of each engine, batch 1 to 64, CPU or GPU"),
    "history": Bench("apps.bench.history", "a push and a window with 10 s to 600 s of history", ("ring",)),
    "context": Bench("apps.bench.context", "a prediction with 10 s to 600 s of context: with state, and by windows"),
    "streams": Bench("apps.bench.streams", "how many streams this machine decodes inside a budget"),
    "replay": Bench("apps.bench.replay", "scoring a recording, in times real time", ("decode",)),
    "training": Bench("apps.bench.training", "windows a second of a training, mel on its device; share of the loader"),
    "translator": Bench("apps.bench.translator", "a network of the translator's size: 74 to 306 channels at 1 kHz"),
    "hygiene": Bench("apps.bench.realtime_steps", "push → prediction with each step of --realtime left out"),
    "idle": Bench("apps.bench.idle", "the first prediction after seconds of silence"),
    "peers": Bench("apps.bench.peers", "the same work done by mne-lsl, BrainFlow and ezmsg, in processes of their own"),
    "monitor": Bench("apps.bench.monitor", "the monitor's window: frames a second and share of a core, beside peers"),
    "faults": Bench("apps.bench.faults", "a gap, a restart and a stall of the sender, beside mne-lsl"),
}


class _BenchParser(Parser):
    """A parser that loads the benchmark, and so its options, when it is the one that was chosen."""

    def __init__(self, *args: Any, bench: Bench | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bench = bench

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Add the options of the benchmark, then parse."""
        if self._bench is not None:
            module = importlib.import_module(self._bench.module)
            self._bench = None
            module.add_arguments(self)
            self.set_defaults(bench_module=module)
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand per benchmark."""
    parser.set_defaults(bench=None)
    benches = parser.add_subparsers(metavar="BENCH", parser_class=_BenchParser)
    for name, bench in BENCHES.items():
        added = benches.add_parser(
            name, help=bench.line, description=bench.line, aliases=list(bench.aliases), bench=bench
        )
        added.set_defaults(bench=name)
        added.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")
        added.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the result")
        added.add_argument(
            "--assert",
            dest="claims",
            action="append",
            default=[],
            metavar="CLAIM",
            help='fail unless it holds, such as "p99<10ms" for all of our rows, or "ours, onnx p50<2ms"; repeatable',
        )


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark, or list them."""
    if args.bench is None:
        for name, bench in BENCHES.items():
            print(f"bci bench {name:11}{bench.line}")
        return 0
    from apps.bench.claims import parse
    from apps.signals import stop_on_signals

    _check_target("--json", args.json)
    _check_target("--plot", args.plot)
    _check_drawing(args.plot)
    claims = [parse(text, args.bench_module.COLUMNS) for text in args.claims]
    with stop_on_signals(_interrupt):
        report = args.bench_module.bench(args, _progress)
    _progress("")
    print(report)
    _write(report, args)
    return _judge(report, claims)


def _write(report: Report, args: argparse.Namespace) -> None:
    if args.json is not None:
        text = json.dumps(report.to_dict(), indent=1, sort_keys=True)
        args.json.write_text(text + "\n", encoding="utf-8")
    if args.plot is not None:
        from apps.bench.chart import draw

        draw(report, args.plot)


def _judge(report: Report, claims: list[Claim]) -> int:
    from apps.bench.claims import judge

    verdicts = [judge(claim, report.table) for claim in claims]
    for _, line in verdicts:
        print(line)
    return 0 if all(holds for holds, _ in verdicts) else EXIT_FAILURE


def _progress(text: str) -> None:
    """Show what is being measured, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _interrupt() -> None:
    raise KeyboardInterrupt  # leaves every `with` block, and so ends the child processes


def _check_target(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be written before minutes are spent on it."""
    from bci.errors import UsageError

    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UsageError(f"{option} needs a file in an existing folder, got {path}.")


def _check_drawing(path: Path | None) -> None:
    from bci.errors import UsageError

    if path is None:
        return
    if path.suffix != ".png":
        raise UsageError(f"--plot needs a name that ends in .png, got {path.name}.")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install matplotlib.")
