"""`bci-train run`: cross-validate a model by person, then train it on everybody and write a bundle."""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from apps.train_commands._settings import add_settings, settings

if TYPE_CHECKING:
    from offline.train import Step

HELP = "cross-validate a model by person, train it on everybody, write a bundle and a report"
_PLAIN_EVERY = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train run`."""
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores."""
    from apps.train_commands._progress import bar
    from offline.report import interval_text, verdict
    from offline.train import train

    config = settings(args)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    if sys.stdout.isatty():
        with bar() as on_step:
            outcome = train(config, created, on_step)
    else:
        outcome = train(config, created, _print_step)
    metrics = outcome.metrics
    for subject in metrics["scores"]["subjects"]:
        print(f"{subject['subject']}: {subject['n_correct']} of {subject['n']} ({subject['accuracy']:.3f})")
    print(f"accuracy, leave one subject out: {interval_text(metrics['scores']['accuracy'])}")
    trivial = metrics["trivial"]
    print(f"chance {trivial['chance']:.3f}, most frequent class {trivial['majority']:.3f}")
    if said := verdict(metrics):
        print(said)
    print(f"bundle: {outcome.bundle.path}\nreport: {Path(config.out) / 'report.html'}")
    logging.getLogger(__name__).info("bundle %s", outcome.bundle.sha256)
    return 0


def _print_step(step: Step) -> None:
    if (step.epoch.index + 1) % _PLAIN_EVERY == 0:
        print(f"{step.name}: epoch {step.epoch.index + 1}, {step.figures}", flush=True)
