"""What becomes of the trial with the usual settings when its worker ends, or when two workers begin together."""

from __future__ import annotations

import optuna
import pytest

from offline import trials
from offline.trials import opened, run_trials

FIRST = {"x": 0.25, "y": 0.5}


class Interrupted(Exception):
    """The power fails."""


def drawn(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0.0, 1.0) + trial.suggest_float("y", 0.0, 1.0)


@pytest.mark.parametrize("n_drawn", [0, 1, 2])
def test_a_first_trial_that_ends_early_is_run_again_as_it_was_to_be(tmp_path, n_drawn):
    """However many of its values it had drawn."""
    study = opened(None, tmp_path, "s", "r", 1, FIRST)

    def fail(trial):
        for name in list(FIRST)[:n_drawn]:
            trial.suggest_float(name, 0.0, 1.0)
        raise Interrupted

    with pytest.raises(Interrupted):
        run_trials(study, 2, fail, 0)
    again = opened(None, tmp_path, "s", "r", 1, FIRST)
    run_trials(again, 2, drawn, 0)
    over = again.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert [trial.params == FIRST for trial in over] == [True, False]
    assert over[0].user_attrs[trials.RESUMES] == 0


def test_two_workers_that_begin_together_run_the_first_trial_once(tmp_path, monkeypatch):
    """Each saw the study empty."""
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "get_trials", lambda study, **_: [])
        for _ in range(2):
            study = opened(None, tmp_path, "s", "r", 1, FIRST)
    assert len(study.trials) == 2
    run_trials(study, 3, drawn, 0)
    over = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert [trial.params == FIRST for trial in over] == [True, False, False]
