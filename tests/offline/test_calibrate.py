"""Temperatures from labels and from votes, and alarms for any class."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import softmax
from offline.calibrate import fit_temperature
from offline.seizure_alarm import SHORTEST_S, Track, choose_alarm, score_tracks
from offline.seizure_events import Span, pooled


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_of_votes_is_found(temperature):
    """The votes are the distributions that the logits give at the right temperature."""
    logits = np.random.default_rng(0).standard_normal((200, 6)) * 3
    assert fit_temperature(logits, softmax(logits, temperature)) == pytest.approx(temperature, rel=1e-3)


def test_votes_for_one_class_each_are_labels():
    rng = np.random.default_rng(1)
    logits, labels = rng.standard_normal((100, 4)), rng.integers(0, 4, 100)
    assert fit_temperature(logits, np.eye(4)[labels]) == pytest.approx(fit_temperature(logits, labels), rel=1e-6)


def test_an_alarm_can_watch_any_class_and_has_a_tried_duration():
    """The third class rises in the seizures, the second at other times."""
    rng = np.random.default_rng(2)
    times = np.arange(0.0, 1200.0)
    seizures = (Span(200.0, 240.0), Span(700.0, 750.0))
    inside = sum(((s.start_s <= times) & (times < s.stop_s)).astype(float) for s in seizures)
    logits = rng.standard_normal((len(times), 3))
    logits[:, 2] += 6 * inside - 3
    logits[:, 1] += 5 * (times > 1000)
    tracks = [Track(logits, times, np.full(len(times), True), seizures, 1200.0)]
    decision = choose_alarm(tracks, ("calm", "artefact", "seizure"), 1.0, 1.5, "seizure")
    assert decision.alarm is not None
    assert (decision.alarm.label, decision.temperature) == ("seizure", 1.5)
    assert decision.alarm.min_duration_s in SHORTEST_S
    assert pooled(score_tracks(tracks, decision, 1.0)).f1 == 1.0
