"""What ``auto`` takes: the fastest engine in a measurement on this machine, which is made once and remembered."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bci.engines.base import Engine, TwoStepEngine
from bci.engines.catalog import ENGINES
from bci.engines.host import cuda_devices, processor, version

PACKAGES = ("streaming-bci", "torch", "onnxruntime", "onnxscript", "torch-tensorrt", "tensorrt")
BLOCK = 10  # calls in a row, so that an engine also meets its own warm caches
MIN_BLOCKS, MAX_BLOCKS = 3, 30
MAX_S = 1.0  # for all engines together, beyond the smallest number of blocks
BUSY = 1.0  # load for each core, above which calls wait for each other

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """An engine that was measured.

    Parameters
    ----------
    name : str
    ms : float
        Median time of what a live prediction waits for, in milliseconds.
    parity_error : float
        As in `bci.engines.parity.Parity`.
    """

    name: str
    ms: float
    parity_error: float

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"{self.name} {self.ms:.3f} ms (parity {self.parity_error:.1e})"


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and from what.

    Parameters
    ----------
    name : str
        The engine.
    tried : tuple of Trial
        All that were measured.
    passed_over : tuple of str
        Those that could not be, with the reason.
    load : float or None
        Of the machine before they were built, for each core: above `BUSY` the order says little. None: not known.
    """

    name: str
    tried: tuple[Trial, ...]
    passed_over: tuple[str, ...]
    load: float | None


def live_call(engine: Engine, window: np.ndarray) -> Callable[[], object]:
    """Return what a live prediction waits for: the second step, if an engine has two."""
    if isinstance(engine, TwoStepEngine):
        kept = engine.early(window)
        return lambda: engine.late(window, kept)
    return lambda: engine(window)


def medians_ms(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each call in milliseconds, measured in turn so that a busy moment meets them all."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(BLOCK):
            call()
    began = time.perf_counter()
    for n_done in range(MAX_BLOCKS):
        if n_done >= MIN_BLOCKS and time.perf_counter() - began > MAX_S:
            break
        for name, call in calls.items():
            for _ in range(BLOCK):
                start = time.perf_counter()
                call()
                spent[name].append(time.perf_counter() - start)
    return {name: 1e3 * float(np.median(times)) for name, times in spent.items()}


def choice_file(folder: Path, key: str, precision: str, n_late: int, shape: tuple[int, ...]) -> Path:
    """Return where the choice for a network on this machine, with these packages, is remembered.

    Parameters
    ----------
    folder : Path
        Cache of engines.
    key : str
        Hash of the network's structure and weights.
    precision : str
    n_late : int
        Columns of a window that come last.
    shape : tuple of int
        Of one window.
    """
    on = {
        "key": key,
        "precision": precision,
        "n_late": n_late,
        "shape": list(shape),
        "processor": processor(),
        "gpus": _gpus(),
        "packages": {name: version(name) for name in PACKAGES},
        "engines": list(ENGINES),
    }
    digest = hashlib.sha256(json.dumps(on, sort_keys=True).encode()).hexdigest()
    return folder / f"choice-{digest[:32]}.json"


def load_per_core() -> float | None:
    """Return the load average of the last minute for each core; None where the system keeps none."""
    return os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else None


def is_busy(load: float | None) -> bool:
    """Whether a load for each core spoils a measurement."""
    return load is not None and load > BUSY


def recall(path: Path) -> Choice | None:
    """Return what was remembered; None if it is of no use, or was measured on a busy machine that is calm now."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        log.warning("the remembered engine in %s cannot be read: %s", path, error)
        return None
    try:
        content = json.loads(text)
        trials = tuple(Trial(str(t["name"]), float(t["ms"]), float(t["parity_error"])) for t in content["tried"])
        passed_over = tuple(str(line) for line in content["passed_over"])
        load = None if content["load"] is None else float(content["load"])
        found = Choice(str(content["name"]), trials, passed_over, load)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the remembered engine in %s cannot be read: %s", path, error)
        return None
    if is_busy(found.load) and not is_busy(load_per_core()):
        log.info("engine %s was chosen at a load of %.1f for each core; measured again", found.name, found.load)
        return None
    return found if found.name in ENGINES else None


def remember(choice: Choice, path: Path) -> None:
    """Write a choice, as a whole or not at all; a folder that cannot be written costs the next start a measurement."""
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(asdict(choice), indent=1), encoding="utf-8")
        os.replace(scratch, path)
    except OSError as error:
        log.warning("the choice of engine cannot be remembered in %s: %s", path, error.strerror)


def _gpus() -> list[str]:
    """Return the names of the GPUs; where the driver offers none, torch is not asked."""
    if cuda_devices() == 0:
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
