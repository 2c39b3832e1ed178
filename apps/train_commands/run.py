"""`bci-train run`: train a model as its task asks, and write a bundle and the figures."""

from __future__ import annotations

import argparse
import logging
import os
from datetime import UTC, datetime

from apps.train_commands._progress import followed
from apps.train_commands._settings import add_part, add_settings, settings, workplace

HELP = "train a model, score it on people it has not met, write a bundle and the figures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train run`."""
    add_settings(parser)
    add_part(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores."""
    from offline.datasets.registry import trainer

    config = settings(args)
    train = trainer(config.task)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    with followed(args.tensorboard, config.out) as on_step:
        outcome = train(config, created, on_step, workplace(args, config))
    if os.environ.get("RANK", "0") != "0":  # torchrun: the first process speaks for all
        return 0
    for line in outcome.lines:
        print(line)
    if outcome.bundle is not None:
        print(f"bundle: {outcome.bundle.path}")
        logging.getLogger(__name__).info("bundle %s", outcome.bundle.sha256)
    return 0
