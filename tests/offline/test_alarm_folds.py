"""The alarm of a run is chosen on inner folds, kept beside the folds, and ends in the bundle."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bci.bundle import load_bundle
from bci.chunk import Chunk, Signal
from bci.decision import State
from bci.decoder import Decoder
from bci.engines.eager_engine import EagerEngine
from bci.errors import SpecError, UsageError
from offline.alarm_folds import AlarmFolds, session_track
from offline.calibrate import pooled_temperature
from offline.checkpoint import load_checkpoint
from offline.config import TrainConfig
from offline.datasets.base import Dataset, Session, Stretch
from offline.evaluate import Fitted
from offline.fold import read_fold
from offline.recipe_baselines import on_bands
from offline.recipes import RECIPES, STRONG_BASELINES
from offline.report_events import event_lines
from offline.seizure_alarm import Track, choose_alarm
from offline.seizure_events import Span
from offline.splits import Split
from offline.train import train
from offline.tune import Workplace
from tests.offline.toy_task import dataset, install

CREATED = "2026-01-01T00:00:00+00:00"
SFREQ = 32.0
LENGTH_S = 600
SEIZURES_S = ((150, 190), (420, 460))
LOUD = tuple(Span(*seconds) for seconds in SEIZURES_S)


def read(seed: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return noise that is louder in the seizures."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((2, round(LENGTH_S * SFREQ)))
    for begin, end in SEIZURES_S:
        data[:, round(begin * SFREQ) : round(end * SFREQ)] *= 4
    return data.astype(np.float32)[:, start:stop]


def patient(i: int) -> Session:
    edges = [0, *(edge for seizure in SEIZURES_S for edge in seizure), LENGTH_S]
    stretches = tuple(
        Stretch(round(a * SFREQ), round(b * SFREQ), k % 2) for k, (a, b) in enumerate(itertools.pairwise(edges))
    )
    n = round(LENGTH_S * SFREQ)
    name = f"pat-{i}"
    return Session(name, name, Path(name), Signal(SFREQ, ("C3", "C4")), n, stretches, partial(read, i))


def config(out: Path, **changes) -> TrainConfig:
    settings = {"task": "toy", "model": "eegnet", "out": str(out), "window_s": 2.0, "hop_s": 1.0, "piece_s": 10.0}
    settings |= {"epochs": 6, "batch_size": 16, "learning_rate": 0.02, "alarm_class": "loud", "balance": "classes"}
    return TrainConfig(**settings | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on three patients whose seizures are easy."""
    out = tmp_path_factory.mktemp("alarm") / "run"
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        patients = Dataset("toy", ("quiet", "loud"), tuple(patient(i) for i in range(3)))
        patch.setattr("offline.prepare.load_dataset", lambda task, folder: patients)
        return out, train(config(out), CREATED)


def test_the_bundle_has_the_alarm_and_the_temperature_of_the_folds(run):
    out, outcome = run
    decision = load_bundle(out / "bundle").decision
    assert decision.alarm is not None
    assert decision.alarm.label == "loud"
    assert decision.alarm.min_duration_s in (2.0, 5.0, 10.0)
    assert 0 < decision.alarm.on_threshold < 1
    assert decision.temperature == outcome.metrics["temperature"] != 1.0


def test_each_fold_chose_on_people_that_it_did_not_score(run):
    out, outcome = run
    events = outcome.metrics["events"]
    assert events["n_seizures"] == 6
    assert events["f1"]["value"] == 1.0, "four times the amplitude is found"
    assert events["hours"] == pytest.approx(0.5)
    assert json.loads((out / "metrics.json").read_text())["events"] == events
    assert len(list((out / "folds").glob("*.alarm.safetensors"))) == 3


def test_the_terminal_the_page_and_the_card_tell_of_events(run):
    out, outcome = run
    events = outcome.metrics["events"]
    low, high = events["false_per_day"]["poisson"]
    assert (events["n_people"], events["n_recordings"], events["label"]) == (3, 3, "loud")
    assert events["always"]["alarm_share"] == 1.0
    said = event_lines(events)
    assert said == [line for line in outcome.lines if line in said], "in this order, among the others"
    assert said[1].startswith("event F1: 1.00 [1.00, 1.00], sensitivity 1.00 [1.00, 1.00], precision 1.00")
    assert f"Poisson interval [{low:.1f}, {high:.1f}] ({events['n_false']} in 0.50 h" in said[2]
    assert said[3].startswith("median delay: ")
    assert said[4].startswith("always an alarm: event F1 ")
    page = (out / "report.html").read_text()
    for word in ("Alarm for loud", "3 people in 3 recordings", "Poisson interval", "always an alarm"):
        assert word in page, word
    assert all(f"- {line}" in (out / "bundle" / "card.md").read_text() for line in said)


def test_a_tuned_fold_chooses_alarm_and_temperature_on_its_inner_folds(tmp_path, monkeypatch):
    """Several inner folds score everybody whom the fold does not: more people than stop its training."""
    install(monkeypatch)
    patients = Dataset("toy", ("quiet", "loud"), tuple(patient(i) for i in range(5)))
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: patients)
    settings, out = config(tmp_path, tune=1, n_inner=2, epochs=3, search=("dropout=0.1:0.4",)), tmp_path
    train(settings, CREATED, place=Workplace(out, None, (0,)))
    fold = read_fold(out / "folds" / "pat-0.json")
    inner = [read_fold(path) for path in sorted((out / "inner" / "pat-0" / "0").glob("*.json"))]
    assert sorted(name for one in inner for name in one.split.test) == ["pat-1", "pat-2", "pat-3", "pat-4"]
    assert fold.temperature == pytest.approx(pooled_temperature(inner))
    tensors = [load_checkpoint(path) for path in sorted((out / "inner" / "pat-0" / "0").glob("*.alarm.safetensors"))]
    assert sum(len(record["tracks"]) for _, record in tensors) == 4
    tracks = [
        Track(*(kept[f"{i}/{name}"].numpy() for name in ("logits", "times_s", "settled")), LOUD, float(LENGTH_S))
        for kept, record in tensors
        for i in range(len(record["tracks"]))
    ]
    wanted = choose_alarm(tracks, patients.classes, settings.hop_s, fold.temperature, "loud")
    chosen = load_checkpoint(out / "folds" / "pat-0.alarm.safetensors")[1]["decision"]
    assert chosen == json.loads(wanted.to_json())


def test_baselines_beside_the_network_learn_from_as_many_people_with_an_alarm(tmp_path, monkeypatch):
    """No alarm is taken from them: the people who stop the network teach them in both."""
    install(monkeypatch)
    patients = Dataset("toy", ("quiet", "loud"), tuple(patient(i) for i in range(3)))
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: patients)
    monkeypatch.setitem(RECIPES["toy"], "band_power", on_bands("band_power", "powers", ((1.0, 4.0),), 2.0))
    monkeypatch.setitem(STRONG_BASELINES, "toy", ("band_power",))
    for name, watched in (("with", "loud"), ("without", None)):
        train(config(tmp_path / name, epochs=1, alarm_class=watched), CREATED)
    folds = [sorted((tmp_path / name / "folds" / "band_power").glob("*.json")) for name in ("with", "without")]
    assert len(folds[0]) == 3
    assert [path.read_text() for path in folds[0]] == [path.read_text() for path in folds[1]]


def test_a_run_without_an_alarm_tells_of_none():
    assert event_lines(None) == []


def test_more_recordings_of_the_same_people_do_not_narrow_the_interval(tmp_path, monkeypatch):
    """Two people are two draws, whatever the number of their recordings."""
    install(monkeypatch)
    people = [replace(patient(i), name=f"pat-{i}-{k}") for i in range(2) for k in range(12)]
    alarms = AlarmFolds(Dataset("toy", ("quiet", "loud"), tuple(people)), config(tmp_path), tmp_path)
    splits = [Split((f"pat-{1 - i}",), (), (f"pat-{i}",)) for i in range(2)]
    times_s = np.arange(0.0, LENGTH_S)
    loud = sum(((s.start_s <= times_s) & (times_s < s.stop_s)).astype(float) for s in LOUD)
    found = Track(np.stack([0 * loud, 8 * loud - 4], axis=1), times_s, times_s >= 0, LOUD, float(LENGTH_S))
    missed = replace(found, logits=np.full_like(found.logits, -4) * [0, 1])
    decision = choose_alarm([found], ("quiet", "loud"), 1.0)
    kept = {split.name: (decision, [track] * 12) for split, track in zip(splits, (found, missed), strict=True)}
    monkeypatch.setattr(alarms, "_read", lambda split: kept[split.name])
    events = alarms.final(splits, 1.0)[1]
    assert events is not None
    assert (events["n_people"], events["n_recordings"]) == (2, 24)
    assert events["sensitivity"] == {"value": 0.5, "interval": [0.0, 1.0]}


def test_a_recording_gives_what_the_decoder_gives(run):
    """The tracks of folds and the predictions of the runtime come from one definition."""
    out, _ = run
    bundle = load_bundle(out / "bundle")
    session = patient(0)
    track = session_track(Fitted(bundle.pipeline, bundle.model, bundle.network(), (), 0), session, ())
    decoder = Decoder(bundle.pipeline.build(), EagerEngine(bundle.network()), bundle.decision)
    data = session.read()
    predictions = decoder.push(Chunk(data, 0, np.arange(data.shape[1]) / SFREQ))
    np.testing.assert_allclose(track.logits, [p.logits for p in predictions], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(track.times_s, [p.time for p in predictions])
    assert track.settled.tolist() == [p.state != State.SETTLING for p in predictions]


def test_a_class_that_is_not_there_and_a_split_in_time_are_refused(tmp_path, monkeypatch):
    install(monkeypatch)
    data = dataset(3)
    with pytest.raises(UsageError, match=r"one of the classes quiet, loud, got 'seizure'\. Change --alarm-class"):
        AlarmFolds(data, config(tmp_path, alarm_class="seizure"), tmp_path)
    with pytest.raises(UsageError, match="An alarm is chosen on other people, got a split in time"):
        AlarmFolds(data, config(tmp_path, split="temporal"), tmp_path)


def test_people_without_an_event_cannot_choose_an_alarm(tmp_path, monkeypatch):
    install(monkeypatch, 4)
    calm = [replace(s, stretches=tuple(x for x in s.stretches if x.label == 0)) for s in dataset(4).sessions[:1]]
    data = replace(dataset(4), sessions=(*calm, *dataset(4).sessions[1:]))
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: data)
    with pytest.raises(SpecError, match="An alarm is chosen by seizures, the patients have none"):
        train(config(tmp_path / "out", window_s=0.5, hop_s=0.25, piece_s=None, batch_size=4), CREATED)
