"""Channel quality for a model that was trained without: what each policy changes, live and offline alike."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import mne
import numpy as np
import pytest

from apps.cli import main
from apps.quality import judged
from bci.chunk import Chunk, Signal
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Decoder, Prediction
from bci.errors import SpecError, UsageError
from bci.pipeline import PipelineSpec
from bci.quality import MAGNETIC, POLICIES, with_quality
from bci.serving import Served, serve
from bci.stages.montages import TEN_TWENTY_19
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from offline.score import score_recording
from tests.bci.test_quality import brain, disturbed
from tests.bundles import mel_pipeline, raw_pipeline, write_random_bundle

SIGNAL = Signal(256.0, TEN_TWENTY_19)
DECISION = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))


class Sums:
    """An engine that sees every number of the window."""

    name, precision = "sums", "fp32"

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        flat = batch.reshape(len(batch), -1).astype(np.float64)
        weights = np.cos(np.arange(flat.shape[1]))
        return np.stack([flat @ weights, flat.mean(axis=1)], axis=1).astype(np.float32) / 100.0


def live(pipeline: PipelineSpec, data: np.ndarray, size: int) -> list[Prediction]:
    decoder = Decoder(pipeline.build(), Sums(), DECISION)
    times = np.arange(data.shape[1]) / pipeline.signal.sfreq
    parts = [slice(start, start + size) for start in range(0, data.shape[1], size)]
    return [p for part in parts for p in decoder.push(Chunk(data[:, part], part.start, times[part]))]


def offline(pipeline: PipelineSpec, data: np.ndarray) -> list[Prediction]:
    recording = SimpleNamespace(
        path=SimpleNamespace(name="memory.fif"),
        signal=pipeline.signal,
        n_samples=data.shape[1],
        gaps=(),
        read=lambda start, stop: data[:, start:stop].copy(),
    )
    return score_recording(recording, pipeline, Sums(), DECISION, block_s=7.0)


def numbers(predictions: list[Prediction]) -> np.ndarray:
    return np.array([[*p.logits, *p.probabilities, p.quality, p.state, p.level, p.last_sample] for p in predictions])


def stream() -> np.ndarray:
    """Return a signal with C3 dead from 6 s on and O1 noisy for a while."""
    x = brain(25.0, 256.0)
    x[2, 1536:] = np.nan
    x[4, 2500:4500] += 200.0 * np.random.default_rng(0).standard_normal(2000)
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    path = tmp_path_factory.mktemp("policy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        return serve(str(write_random_bundle(path / "tiny", SIGNAL).path), "eager")


@pytest.mark.parametrize("make", [mel_pipeline, raw_pipeline])
@pytest.mark.parametrize("size", [8, 250])
def test_reporting_changes_no_bit_of_any_prediction(make, size):
    plain, data = make(SIGNAL), stream()
    expected = numbers(live(plain, data, size))
    np.testing.assert_array_equal(numbers(live(with_quality(plain), data, size)), expected)
    np.testing.assert_array_equal(numbers(live(with_quality(plain, "off"), data, size)), expected)
    assert not np.array_equal(numbers(live(with_quality(plain, "mask"), data, size)), expected)


@pytest.mark.parametrize("policy", ["report", "interpolate", "mask"])
@pytest.mark.parametrize("make", [mel_pipeline, raw_pipeline])
def test_offline_and_live_agree(policy, make):
    pipeline, data = with_quality(make(SIGNAL), policy), stream()
    np.testing.assert_allclose(numbers(live(pipeline, data, 37)), numbers(offline(pipeline, data)), atol=1e-5)


def test_a_dead_channel_is_a_fault_unless_it_is_replaced():
    data = stream()
    last = {policy: live(with_quality(mel_pipeline(SIGNAL), policy), data, 64)[-1] for policy in POLICIES}
    assert {policy: p.state == State.FAULT for policy, p in last.items()} == {
        "report": True,
        "off": True,
        "interpolate": False,
        "mask": False,
    }
    assert last["interpolate"].quality == 1.0


def test_too_few_good_channels_are_a_fault():
    data = brain(25.0, 256.0).astype(np.float32)
    data[:10, 1536:] = 0.0
    states = [live(with_quality(mel_pipeline(SIGNAL), "mask", n), data, 64)[-1].state for n in (None, 10, 9)]
    assert states[:2] == [State.FAULT, State.FAULT]
    assert states[2] != State.FAULT
    assert live(with_quality(mel_pipeline(SIGNAL), "report", 10), data, 64)[-1].state == State.FAULT


def test_what_is_put_before_a_pipeline():
    plain = mel_pipeline(SIGNAL)
    assert with_quality(plain).stages == (ReportQuality(), *plain.stages)
    assert with_quality(plain, "interpolate").stages[0] == InterpolateBad(min_valid_channels=10)
    assert with_quality(plain, "mask", 3).stages[0] == MaskBad(min_valid_channels=3)
    assert with_quality(plain, "off") == plain
    assert PipelineSpec.from_json(with_quality(plain).to_json()) == with_quality(plain)


def test_a_rate_that_is_no_whole_number_has_a_hop_near_a_second():
    signal = Signal(249.95, ("C3", "Cz"))
    stage = with_quality(replace(raw_pipeline(Signal(250.0, ("C3", "Cz"))), signal=signal)).stages[0]
    assert isinstance(stage, ReportQuality)
    assert stage.hop_s == pytest.approx(1.0, abs=1e-3)


def test_magnetic_signals_have_limits_of_their_own():
    signal = Signal(256.0, ("MEG0111", "MEG0112"), "fT")
    assert with_quality(raw_pipeline(signal)).stages[0] == ReportQuality(**MAGNETIC)
    with pytest.raises(SpecError, match="needs the places of all channels"):
        with_quality(raw_pipeline(signal), "interpolate")


def test_a_pipeline_that_judges_by_itself_is_left_alone():
    own = with_quality(mel_pipeline(SIGNAL), "mask", 5)
    assert with_quality(own) == own
    for policy, least in (("report", None), ("off", None), (None, 3)):
        with pytest.raises(SpecError, match=r"judges channel quality by itself, as it was trained, got the policy"):
            with_quality(own, policy, least)


def test_what_cannot_be_is_refused():
    plain = mel_pipeline(SIGNAL)
    with pytest.raises(SpecError, match=r"needs one of report, interpolate, mask, off, got 'ignore'"):
        with_quality(plain, "ignore")
    with pytest.raises(SpecError, match=r"needs channels that are judged, got 3 with the policy 'off'"):
        with_quality(plain, "off", 3)
    with pytest.raises(SpecError, match=r"min_valid_channels of at most 19"):
        with_quality(plain, "report", 20)


def test_the_options_reach_the_decoder(served):
    assert judged(served, None, None).decoder().pipeline.spec.stages[0] == ReportQuality()
    assert judged(served, "off", None).decoder().pipeline.spec == served.bundle.pipeline
    decoder = judged(served, "mask", 4).decoder()
    assert decoder.pipeline.spec.stages[0] == MaskBad(min_valid_channels=4)
    decoder.push(Chunk(disturbed("flat").astype(np.float32), 0, np.arange(22 * 250) / 256.0))
    assert [change.channel for change in decoder.pipeline.changes()] == ["C3", "C3"]
    with pytest.raises(UsageError, match="min_valid_channels of at most 19"):
        judged(served, "mask", 40)


def test_decode_takes_the_options(served, tmp_path, capsys):
    """The same log with `report` as without; another with `mask`; one line for what cannot be."""
    info = mne.create_info(list(SIGNAL.names), 256.0, "eeg", verbose="error")
    file = tmp_path / "bad_raw.fif"
    x = brain(16.0, 256.0)
    x[2, 1000:] += 300.0 * np.sin(2 * np.pi * 50.0 * np.arange(3096) / 256.0)
    mne.io.RawArray(x * 1e-6, info, verbose="error").save(file, verbose="error")
    decode = ["decode", str(file), "--model", str(served.bundle.path), "--engine", "eager"]
    logs = {}
    for policy in ("report", "off", "mask"):
        log = tmp_path / f"{policy}.jsonl"
        assert main([*decode, "--quality", policy, "--log", str(log)]) == 0
        logs[policy] = log.read_text()
    assert logs["report"] == logs["off"] != logs["mask"]
    capsys.readouterr()
    assert main([*decode, "--quality", "off", "--min-channels", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
