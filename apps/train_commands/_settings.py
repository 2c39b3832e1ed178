"""The flags of a training run, which a TOML file may hold instead."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from offline.choices import Balance, Device, LossName, Monitor, Precision, SplitName, TargetsName, VoteWeights
from offline.config import SETTINGS, TrainConfig, read_config

if TYPE_CHECKING:
    from offline.tune import Workplace


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add one flag per setting, and ``--config``."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings; flags override it")
    parser.add_argument("--task", help="what is learnt (bci-train list)")
    parser.add_argument("--data", metavar="DIR", help="folder of the archive")
    parser.add_argument(
        "--features",
        metavar="DIR",
        help="keep features there, mapped from disk (default: in memory; of long recordings in the user's cache)",
    )
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
    parser.add_argument(
        "--baselines",
        action=argparse.BooleanOptionalAction,
        help="fit the closed baselines of the task beside the model (default: yes)",
    )
    parser.add_argument(
        "--split",
        choices=get_args(SplitName),
        help="who is scored: each subject, folds of them, each one's future, or the archive's own split",
    )
    parser.add_argument("--n-folds", type=int, metavar="N", help="folds of k-fold and temporal splits (default 5)")
    parser.add_argument("--classes", nargs="+", metavar="NAME=A+B", help="other classes, made of those of the task")
    parser.add_argument("--piece-s", type=float, metavar="S", help="cut longer labelled stretches into such pieces")
    parser.add_argument("--arguments", nargs="+", metavar="NAME=X", help="arguments of the model, such as depth=4")
    parser.add_argument("--start-weights", metavar="FILE", help="safetensors file with the network's first weights")
    parser.add_argument("--alarm-class", metavar="NAME", help="class that an alarm is chosen for, on inner folds")
    parser.add_argument(
        "--tune", type=int, metavar="N", help="trials that choose settings inside each fold (default 0)"
    )
    parser.add_argument(
        "--search",
        nargs="+",
        metavar="NAME=A:B",
        help="what trials vary, such as learning_rate=1e-4:1e-2:log",
    )
    parser.add_argument("--n-inner", type=int, metavar="N", help="inner folds of a trial (default 2)")
    _add_loop(parser)


def _add_loop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loss", choices=get_args(LossName), help="what is minimised (default: the model's)")
    parser.add_argument("--label-smoothing", type=float, metavar="X", help="share of the target for all classes")
    parser.add_argument("--focal-gamma", type=float, metavar="X", help="exponent of the focal loss (default 2)")
    parser.add_argument("--vote-weights", choices=get_args(VoteWeights), help="how much a stretch counts, by its votes")
    parser.add_argument("--balance", choices=get_args(Balance), help="draw all classes equally often")
    parser.add_argument("--augment", nargs="+", metavar="NAME", help="augmentations (bci-train list), or none")
    parser.add_argument("--ema-decay", type=float, metavar="X", help="keep a moving average of the weights; 0 does not")
    parser.add_argument("--precision", choices=get_args(Precision), help="of the forward pass (default float32)")
    parser.add_argument("--accumulate", type=int, metavar="N", help="compute each batch in so many parts (default 1)")
    parser.add_argument("--clip-norm", type=float, metavar="X", help="longest gradient; 0 does not clip")
    parser.add_argument("--monitor", choices=get_args(Monitor), help="which figure stops the training")
    parser.add_argument(
        "--second-stage-votes",
        type=float,
        metavar="N",
        help="votes that a stretch needs late in the training",
    )
    parser.add_argument("--second-stage-share", type=float, metavar="X", help="when that begins (default 0.5)")
    parser.add_argument("--device", choices=get_args(Device), help="where the network is trained (default cpu)")
    parser.add_argument("--targets", choices=get_args(TargetsName), help="learn windows, or every sample of them")


def add_part(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which part of a run this process does."""
    parser.add_argument("--folds", metavar="I,J", help="do these folds only, from 0; others may run beside it")
    parser.add_argument("--worker", action="store_true", help="run trials only, beside other processes; score nothing")
    parser.add_argument("--storage", metavar="URL", help="keep trials there, such as sqlite:///trials.db")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="write learning curves there, for TensorBoard")


def workplace(args: argparse.Namespace, config: TrainConfig) -> Workplace:
    """Return which part of a run this process does, and where trials are kept."""
    from bci.errors import UsageError
    from offline.tune import Workplace

    try:
        folds = None if args.folds is None else tuple(int(word) for word in args.folds.split(","))
    except ValueError as error:
        raise UsageError(f"--folds needs numbers such as 0,2, got {args.folds!r}.") from error
    if args.worker and not config.tune:
        raise UsageError("A worker runs trials, got none to run. Pass --tune.")
    return Workplace(Path(config.out), args.storage, folds, args.worker)


def settings(args: argparse.Namespace) -> TrainConfig:
    """Return the settings of the command line and its ``--config``."""
    return read_config(args.config, {name: getattr(args, name) for name in SETTINGS})
