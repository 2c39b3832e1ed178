"""Learning curves as TensorBoard reads them, written while a run goes on."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bci.errors import UsageError
from offline.progress import Step

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CURVES = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/validation": "validation_accuracy",
    "balanced accuracy/validation": "validation_balanced",
}
"""Name of a curve → field of `offline.training_settings.Epoch`."""


@contextmanager
def epoch_log(folder: Path, run: str) -> Iterator[Callable[[Step], None]]:
    """Give a listener that writes every epoch, one curve for each part of a run.

    Parameters
    ----------
    folder : Path
        What ``tensorboard --logdir`` is given; several runs may share it.
    run : str
        Name of the run: curves of its part ``sub-01`` are in ``folder/run/sub-01``; of a part that begins anew, as a
        trial does on each of its inner folds, in ``folder/run/sub-01, 2`` and so on. Made with the first epoch.

    Yields
    ------
    listener : callable
        Takes each `Step`.

    Raises
    ------
    UsageError
        If TensorBoard is not installed, or the folder cannot be written.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed: "
            "pip install 'streaming-bci[tensorboard]'."
        )
    place = folder / run
    there = next(path for path in (place, *place.absolute().parents) if os.path.exists(path))
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise UsageError(f"--tensorboard needs a folder that can be written, got {folder}. Choose another.")
    if os.environ.get("RANK", "0") != "0":  # torchrun: the first process speaks for all
        yield _ignore
        return
    from torch.utils.tensorboard import SummaryWriter  # 1 s

    writers: dict[str, SummaryWriter] = {}
    times: Counter[str] = Counter()

    def write(step: Step) -> None:
        if step.epoch is None:
            if step.name in writers:
                writers.pop(step.name).close()
            return
        if step.name not in writers:
            times[step.name] += 1
            again = f", {times[step.name]}" if times[step.name] > 1 else ""
            writers[step.name] = SummaryWriter(str(place / (step.name.replace(os.sep, "_") + again)))
        for name, field in CURVES.items():
            value = getattr(step.epoch, field)
            if value is not None:
                writers[step.name].add_scalar(name, value, step.epoch.index)

    try:
        yield write
    finally:
        for writer in writers.values():
            writer.close()


def _ignore(step: Step) -> None:
    pass
