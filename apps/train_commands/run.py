"""`bci-train run`: train a model as its task asks, and write a bundle and the figures."""

from __future__ import annotations

import argparse
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from apps.train_commands._settings import add_settings, settings

if TYPE_CHECKING:
    from offline.train import Step

HELP = "train a model, score it on people it has not met, write a bundle and the figures"
_PLAIN_EVERY = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train run`."""
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores."""
    from apps.train_commands._progress import bar
    from offline.datasets.registry import trainer

    config = settings(args)
    train = trainer(config.task)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    if sys.stdout.isatty():
        with bar() as on_step:
            outcome = train(config, created, on_step)
    else:
        outcome = train(config, created, _print_step)
    for line in outcome.lines:
        print(line)
    print(f"bundle: {outcome.bundle.path}")
    logging.getLogger(__name__).info("bundle %s", outcome.bundle.sha256)
    return 0


def _print_step(step: Step) -> None:
    if (step.epoch.index + 1) % _PLAIN_EVERY == 0:
        print(f"{step.name}: epoch {step.epoch.index + 1}, {step.figures}", flush=True)
