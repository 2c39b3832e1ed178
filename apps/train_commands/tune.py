"""`bci-train tune`: choose learning rate and dropout by inner folds, and score the choices honestly."""

from __future__ import annotations

import argparse

from apps.train_commands._progress import shown
from apps.train_commands._settings import add_settings, settings

HELP = "choose learning rate and dropout by nested folds; the scored subject has no say"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train tune`."""
    add_settings(parser)
    parser.add_argument("--inner", type=int, default=2, metavar="N", help="inner folds per subject (default 2)")


def run(args: argparse.Namespace) -> int:
    """Tune, and print the choices."""
    from offline.report import interval_text
    from offline.tune import tune

    with shown() as on_step:
        tuned = tune(settings(args), args.inner, on_step)
    for choice in tuned["choices"]:
        print(f"without {choice['subject']}: learning rate {choice['learning_rate']:g}, dropout {choice['dropout']:g}")
    print(f"accuracy, nested, leave one subject out: {interval_text(tuned['scores']['accuracy'])}")
    return 0
