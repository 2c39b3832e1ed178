"""`bci-train tune`: choose settings by trials on inner folds, and score the choices honestly."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

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
    from offline.limits import unchecked_lines
    from offline.report import chance_line, constant_lines, figure_lines, interval_text
    from offline.report_tuning import values_text
    from offline.start_weights import start_lines
    from offline.tune import tune

    config = settings(args)
    config = config if config.tune else replace(config, tune=TRIALS)
    with followed(args.tensorboard, config.out) as on_step:
        tuned = tune(config, workplace(args, config), on_step)
    if not tuned:
        print("the trials or folds of this process are done; the command without --worker and --folds scores them")
        return 0
    for choice in tuned["choices"]:
        print(f"without {choice['fold']}: {values_text(choice['values'])}")
    for line in (*figure_lines(tuned["scores"]), *constant_lines(tuned["trivial"])):
        print(line)
    print(f"accuracy, nested: {interval_text(tuned['scores']['accuracy'])}")
    for line in (chance_line(tuned["trivial"]), *start_lines(tuned["run"]["resolved"]), *unchecked_lines(tuned)):
        print(line)
    print(f"report: {Path(config.out) / 'report.html'}")
    return 0
