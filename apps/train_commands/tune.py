"""`bci-train tune`: choose settings by trials on inner folds, and score the choices honestly."""

from __future__ import annotations

import argparse
from dataclasses import replace

from apps.train_commands._progress import followed
from apps.train_commands._settings import add_part, add_settings, settings, workplace

HELP = "choose settings by nested folds; whoever is scored has no say"
TRIALS = 20
"""Trials of each fold unless ``--tune`` says so."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train tune`."""
    add_settings(parser)
    add_part(parser)


def run(args: argparse.Namespace) -> int:
    """Tune, and print the choices."""
    from offline.report import figure_lines, interval_text
    from offline.tune import tune

    config = settings(args)
    config = config if config.tune else replace(config, tune=TRIALS)
    with followed(args.tensorboard, config.out) as on_step:
        tuned = tune(config, workplace(args, config), on_step)
    if not tuned:
        print("the trials or folds of this process are done; the command without --worker and --folds scores them")
        return 0
    for choice in tuned["choices"]:
        values = ", ".join(f"{name} {_shown(value)}" for name, value in choice["values"].items())
        print(f"without {choice['fold']}: {values}")
    for line in figure_lines(tuned["scores"]):
        print(line)
    print(f"accuracy, nested: {interval_text(tuned['scores']['accuracy'])}")
    return 0


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
