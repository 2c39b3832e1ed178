"""Trials of one study: asked for by any number of workers, resumed after any of them ends, the same every time."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from bci.errors import SpecError, UsageError

log = logging.getLogger(__name__)

N_RANDOM = 4
"""Trials before the sampler learns from them and the pruner compares with them."""
POLL_S = 0.5
LOST_S = 900.0
"""A trial on another machine that has said nothing for so long is given to another worker."""
LOCK_S = 5
"""A journal that has been locked for so long is taken from whoever locked it."""
RESUMES = "resumes"
_WORKER, _ALIVE, _RUN, _FIRST = "worker", "alive", "run", "first"


def opened(
    storage: str | None, folder: Path, name: str, run: str, n_warmup: int, first: Mapping[str, Any] | None = None
) -> optuna.Study:
    """Return the study of that name, new or as it was left.

    Parameters
    ----------
    storage : str or None
        URL of a database, such as ``sqlite:///trials.db``; None takes a journal file in `folder`.
    folder : Path
        Where the journal is.
    name : str
        Name of the study.
    run : str
        What its trials depend on; kept with the study.
    n_warmup : int
        Reports of a trial before it may be stopped.
    first : mapping or None, default=None
        Values of the first trial; what it lacks is drawn.

    Returns
    -------
    study : optuna.Study

    Raises
    ------
    UsageError
        If the storage cannot be used, or its study of that name belongs to another run.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kept: str | BaseStorage = storage or _journal(folder / "trials.journal")
    try:
        study = optuna.create_study(
            storage=kept,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=MedianPruner(n_startup_trials=N_RANDOM, n_warmup_steps=n_warmup),
        )
    except (ValueError, ImportError, OSError, SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"Trials need a storage such as sqlite:///trials.db, got {storage} ({reason}).") from error
    if study.user_attrs.get(_RUN, run) != run:
        raise UsageError(f"The study {name} in {storage or folder} belongs to another run. Use another --storage.")
    study.set_user_attr(_RUN, run)
    if first and not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(first), user_attrs={_FIRST: True})  # maybe by two workers, see `_is_double`
    return study


def run_trials(
    study: optuna.Study, n_trials: int, objective: Callable[[Trial], float], seed: int, *, wait: bool = True
) -> None:
    """Run trials until the study has so many, together with whoever else does.

    A trial is drawn by the tree-structured Parzen estimator from the seed and the trials before it. One that was
    interrupted is run again with the same values. A trial that raises SpecError (its loss is no number) counts as
    stopped early.

    Parameters
    ----------
    study : optuna.Study
        Trials that are over stay.
    n_trials : int
        Trials that are to be over, stopped ones included.
    objective : callable
        Returns what is maximised; may raise ``optuna.TrialPruned``.
    seed : int
        Seed of the sampler.
    wait : bool, default=True
        Whether to wait for trials that other workers have begun, and to take them up if those end.

    References
    ----------
    Akiba et al. (2019), doi:10.1145/3292500.3330701; Bergstra et al. (2011), NeurIPS 24.
    """
    while True:
        _revive(study)
        over = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if len(over) >= n_trials or (len(over) + len(running) >= n_trials and not wait):
            return
        if len(over) + len(running) >= n_trials:
            time.sleep(POLL_S)
            continue
        study.sampler = TPESampler(seed=seed + len(over) + len(running), n_startup_trials=N_RANDOM)
        trial = study.ask()
        if _is_double(study, trial):
            study.tell(trial, state=TrialState.FAIL)
            continue
        begun = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number and t.state != TrialState.FAIL]
        if len(begun) >= n_trials:  # somebody else was faster
            study.tell(trial, state=TrialState.FAIL)
            continue
        _run_one(study, trial, objective)


def sign_of_life(trial: Trial) -> None:
    """Say that a trial goes on, for workers on other machines."""
    trial.set_user_attr(_ALIVE, datetime.now(UTC).timestamp())


def best(study: optuna.Study) -> FrozenTrial:
    """Return the best trial; of equals, the first.

    Raises
    ------
    SpecError
        If none came to its end.
    """
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not whole:
        raise SpecError(f"A choice needs a trial that came to its end, {study.study_name} has none. Add trials.")
    return max(whole, key=lambda trial: (trial.value, -trial.number))


def _journal(path: Path) -> BaseStorage:
    # a worker that was killed leaves its lock behind, and a lock is held for milliseconds
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCK_S)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


def _run_one(study: optuna.Study, trial: Trial, objective: Callable[[Trial], float]) -> None:
    trial.set_user_attr(_WORKER, [socket.gethostname(), os.getpid()])
    sign_of_life(trial)
    told = False
    try:
        study.tell(trial, objective(trial))
        told = True
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        told = True
    except SpecError as error:
        log.warning("trial %d: %s", trial.number, error)
        study.tell(trial, state=TrialState.PRUNED)
        told = True
    finally:
        if not told:
            _hand_on(study, study.trials[trial.number])


def _revive(study: optuna.Study) -> None:
    """Hand on trials whose worker is gone."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, process = trial.user_attrs.get(_WORKER, ("", 0))
        begun = trial.datetime_start or datetime.now()
        silent_s = datetime.now(UTC).timestamp() - trial.user_attrs.get(_ALIVE, begun.timestamp())
        gone = not _is_running(int(process)) if host == socket.gethostname() else silent_s > LOST_S
        if gone:
            _hand_on(study, trial)


def _hand_on(study: optuna.Study, trial: FrozenTrial) -> None:
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except ValueError:  # another worker has done so
        return
    kept = {RESUMES: trial.user_attrs.get(RESUMES, trial.number)}
    if _FIRST in trial.user_attrs:
        kept[_FIRST] = True
    # one that ended before it drew them all keeps the values that it was to have
    wanted = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(wanted, user_attrs=kept)


def _is_double(study: optuna.Study, trial: Trial) -> bool:
    """Return whether another worker put the first trial there, too, before this one."""
    return _FIRST in trial.user_attrs and any(
        _FIRST in other.user_attrs and other.number < trial.number and other.state != TrialState.FAIL
        for other in study.get_trials(deepcopy=False)
    )


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
