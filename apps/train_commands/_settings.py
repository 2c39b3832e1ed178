"""The flags of a training run, which a TOML file may hold instead."""

from __future__ import annotations

import argparse
from pathlib import Path

from offline.config import SETTINGS, TrainConfig, read_config


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, and ``--config``."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings; flags override it")
    parser.add_argument("--task", help="what is learnt (bci-train list)")
    parser.add_argument("--data", metavar="DIR", help="folder of the archive")
    parser.add_argument("--model", help="which model (bci-train list)")
    parser.add_argument("--out", metavar="DIR", help="folder for the results; an interrupted run there goes on")
    parser.add_argument("--window-s", type=float, metavar="S", help="length of a window (default 2)")
    parser.add_argument("--hop-s", type=float, metavar="S", help="time between predictions in live use (default 0.25)")
    parser.add_argument("--seed", type=int, help="seed of weights, order and crops (default 0)")
    parser.add_argument("--epochs", type=int, metavar="N", help="at most so many epochs (default: the model's)")
    parser.add_argument(
        "--patience", type=int, metavar="N", help="epochs without progress before stopping (default: the model's)"
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help="windows per step (default 32)")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="peak of the schedule (default: the model's)")
    parser.add_argument("--weight-decay", type=float, metavar="X", help="decoupled weight decay (default 0.01)")
    parser.add_argument(
        "--dropout", type=float, metavar="X", help="share of dropped activations (default: the model's)"
    )
    parser.add_argument("--n-validation", type=int, metavar="N", help="subjects that stop the training (default 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of torch (default 1)")
    parser.add_argument(
        "--skip-bad", action="store_true", default=None, help="train without the files that cannot be used"
    )


def settings(args: argparse.Namespace) -> TrainConfig:
    """Return the settings of the command line and its ``--config``."""
    return read_config(args.config, {name: getattr(args, name) for name in SETTINGS})
