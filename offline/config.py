"""Settings of a training run: one frozen record, one strict reader."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bci.errors import SpecError, UsageError
from bci.records import record_from_dict
from offline.choices import Balance, Device, LossName, Monitor, Precision, SplitName, TargetsName, VoteWeights


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Everything that decides the result of a training run.

    Parameters
    ----------
    task : str
        Name of the task.
    model : str
        Name of the model.
    out : str
        Folder for the results.
    data : str or None, default=None
        Folder of the archive; None for a task without one.
    features : str or None, default=None
        Folder in which outputs of pipelines are kept and mapped from, so that each is computed once for all folds and
        trials, and no archive has to fit into the memory; None computes them in memory, or, of long recordings, keeps
        them in the user's cache folder.
    window_s : float, default=2.0
        Raw signal behind a prediction, in seconds; what filters remember comes on top.
    hop_s : float, default=0.25
        Time between predictions in live use, in seconds.
    seed : int, default=0
        Seed of weights, order and crops.
    epochs : int or None, default=None
        Upper bound of passes over the training stretches; None takes the model's default.
    patience : int or None, default=None
        Epochs after which training stops if none had a higher validation accuracy, or the same one with a lower
        validation loss; None takes the model's default.
    batch_size : int, default=32
        Windows per step.
    learning_rate : float or None, default=None
        Peak of the schedule; None takes the model's default.
    weight_decay : float, default=0.01
        Decoupled decay of AdamW.
    dropout : float or None, default=None
        None takes the model's default.
    n_validation : int, default=1
        Subjects that stop the training of each fold.
    threads : int, default=1
        Threads of torch. Results are bitwise repeatable with the same number.
    skip_bad : bool, default=False
        Train without the files that cannot be used, instead of refusing.
    baselines : bool, default=True
        Fit the closed baselines of the task on the same folds, beside the model.
    split : {"leave-one-out", "k-fold", "temporal", "archive"}, default="leave-one-out"
        Who is scored: one subject after the other, a fold of subjects after the other, each subject's later
        stretches after training on its earlier ones, or as the archive's authors split its subjects.
    n_folds : int, default=5
        Folds of ``k-fold``, and of each subject in ``temporal``.
    classes : tuple of str or None, default=None
        Other classes than those of the task, made of them: ``name``, or ``name=one+other``. What is in none of them is
        left out.
    piece_s : float or None, default=None
        Longer labelled stretches are cut into pieces of this length; None leaves them whole.
    arguments : tuple of str or None, default=None
        Arguments of the model in place of the recipe's, as in ``depth=4``.
    start_weights : str or None, default=None
        Safetensors file that gives the network of each fold its first weights, see `offline.start_weights`; None starts
        with fresh ones.
    alarm_class : str or None, default=None
        Class that an alarm is chosen for, on people who are not scored; None chooses none.
    tune : int, default=0
        Trials by which settings are chosen inside each fold; 0 takes the settings as they are.
    search : tuple of str or None, default=None
        What the trials vary, see `offline.search`; None takes learning rate, dropout and weight decay.
    n_inner : int, default=2
        Inner folds of a trial.
    loss, label_smoothing, focal_gamma, vote_weights, balance, augment, ema_decay, precision, accumulate, clip_norm
        As in `offline.training_settings.LoopSettings`; None takes the model's default.
    monitor, second_stage_votes, second_stage_share, device, targets
        Likewise.
    """

    task: str
    model: str
    out: str
    data: str | None = None
    features: str | None = None
    window_s: float = 2.0
    hop_s: float = 0.25
    seed: int = 0
    epochs: int | None = None
    patience: int | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    weight_decay: float = 0.01
    dropout: float | None = None
    n_validation: int = 1
    threads: int = 1
    skip_bad: bool = False
    baselines: bool = True
    split: SplitName = "leave-one-out"
    n_folds: int = 5
    classes: tuple[str, ...] | None = None
    piece_s: float | None = None
    arguments: tuple[str, ...] | None = None
    start_weights: str | None = None
    alarm_class: str | None = None
    tune: int = 0
    search: tuple[str, ...] | None = None
    n_inner: int = 2
    loss: LossName | None = None
    label_smoothing: float | None = None
    focal_gamma: float | None = None
    vote_weights: VoteWeights | None = None
    balance: Balance | None = None
    augment: tuple[str, ...] | None = None
    ema_decay: float | None = None
    precision: Precision | None = None
    accumulate: int | None = None
    clip_norm: float | None = None
    monitor: Monitor | None = None
    second_stage_votes: float | None = None
    second_stage_share: float | None = None
    device: Device | None = None
    targets: TargetsName | None = None

    def __post_init__(self) -> None:
        positive = ("window_s", "hop_s", "epochs", "patience", "learning_rate", "n_validation", "threads", "piece_s")
        wrong = [name for name in positive if getattr(self, name) is not None and getattr(self, name) <= 0]
        if wrong:
            raise UsageError(f"{flag(wrong[0])} must be above 0, got {getattr(self, wrong[0])}.")
        if self.batch_size < 2:
            raise UsageError(f"--batch-size must be at least 2 (batch normalisation), got {self.batch_size}.")
        if self.seed < 0 or self.weight_decay < 0:
            raise UsageError(
                f"--seed and --weight-decay must not be negative, got {self.seed} and {self.weight_decay:g}."
            )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UsageError(f"--dropout must be at least 0 and below 1, got {self.dropout:g}.")
        if self.n_folds < 2 or self.n_inner < 1 or self.tune < 0:
            raise UsageError(
                "--n-folds must be at least 2, --n-inner at least 1 and --tune not negative, "
                f"got {self.n_folds}, {self.n_inner} and {self.tune}."
            )


SETTINGS: tuple[str, ...] = tuple(field.name for field in fields(TrainConfig))
"""Names of all settings, as in a TOML file."""


LOOP = (
    "loss",
    "label_smoothing",
    "focal_gamma",
    "vote_weights",
    "balance",
    "augment",
    "ema_decay",
    "precision",
    "accumulate",
    "clip_norm",
    "monitor",
    "second_stage_votes",
    "second_stage_share",
    "device",
    "targets",
)
"""Settings of the training loop that a recipe may set and that pass through to it."""

TRAINING = (
    "epochs",
    "patience",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "dropout",
    "arguments",
    "start_weights",
    *LOOP,
)
"""Settings of the training, for which recipes and `TrainConfig` have tried defaults."""


def flag(name: str) -> str:
    """Return what a setting is called on the command line."""
    return f"--{name.replace('_', '-')}"


def overridden(config: TrainConfig, names: tuple[str, ...] = TRAINING) -> list[str]:
    """Return which settings do not have their default."""
    return [f.name for f in fields(config) if f.name in names and getattr(config, f.name) != f.default]


def read_config(file: Path | None, flags: Mapping[str, Any]) -> TrainConfig:
    """Return the settings of a TOML file, overridden by flags; what neither gives, the task may.

    Parameters
    ----------
    file : Path or None
        TOML file with names from `SETTINGS`; None if there is none.
    flags : mapping
        Settings from the command line; None stands for not given.

    Returns
    -------
    config : TrainConfig

    Raises
    ------
    UsageError
        If the file cannot be read, or a setting is unknown, missing, of a wrong type or out of range.
    """
    from offline.datasets.registry import EXAMPLES, TASKS  # numpy, which the list of flags does not need

    content: dict[str, Any] = {}
    if file is not None:
        try:
            content = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"The settings need a readable TOML file, got {file}: {error}.") from error
    content |= {name: value for name, value in flags.items() if value is not None}
    task = content.get("task")
    row = (TASKS | EXAMPLES).get(task) if isinstance(task, str) else None
    content = {**(row.settings if row else {}), **content}
    try:
        config: TrainConfig = record_from_dict(TrainConfig, content, "The training run")
    except SpecError as error:
        raise UsageError(f"{error} Pass it as a flag (--help) or in --config.") from error
    return config
