"""`--publish`: the decoder's own signal and features leave over LSL as the pipeline computed them, once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading

import numpy as np
import pylsl
import pytest

from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.decoder import Decoder, n_plain_stages
from bci.errors import UsageError
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sinks.signal_sink import SignalSink, labels, parse_items
from bci.sources.base import Marker, Received, StreamInfo
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass, Highpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from tests.bci.cuts import halves, ones, random_with_zeros, split

TIMEOUT_S = 60.0
FIRST, LOOP, GAP = 8, 600, 900  # samples: length of the first chunk, place of a loop marker and of a gap
SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
LOG_MEL = LogMel(n_fft=64, win_length=64, hop_length=8, n_mels=12, low_hz=1.0, high_hz=40.0)
DATA = np.random.default_rng(5).normal(0, 20, (3, 1500)).astype(np.float32)
PIPELINES = {
    "mel": PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0), AverageReference(), LOG_MEL), Window(1.0, 0.25)),
    "mel after resampling": PipelineSpec(SIGNAL, (Resample(96.0), Highpass(1.0), LOG_MEL), Window(1.0, 0.25)),
    "mel, normalised": PipelineSpec(SIGNAL, (Highpass(1.0), LOG_MEL, RunningNorm(5.0)), Window(1.0, 0.25)),
    "mel of the raw signal": PipelineSpec(SIGNAL, (LOG_MEL,), Window(1.0, 0.25)),
    "no features": PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0), Resample(192.0)), Window(1.0, 0.25)),
    "no stages": PipelineSpec(SIGNAL, (), Window(1.0, 0.25)),
}


class Sums:
    """An engine that is no network."""

    name, precision = "sums", "fp32"

    def __call__(self, batch):
        return np.stack([batch.reshape(len(batch), -1).sum(axis=1)] * 2, axis=1).astype(np.float32)


def plain_reference(spec, data):
    """Return the signal before the features with its evidence, from a pipeline of only those stages."""
    n = n_plain_stages(spec.build())
    signal = spec.stages[:n]
    block = PipelineSpec(spec.signal, signal, Window(spec.window.length_s, spec.window.hop_s)).build().process(data)
    return block.data, block.last_input


@pytest.mark.parametrize("cut", [ones, random_with_zeros, halves])
@pytest.mark.parametrize("spec", PIPELINES.values(), ids=PIPELINES)
def test_a_tap_shows_what_the_stages_before_it_put_out(spec, cut):
    """However the stream is cut, and also after a reset and a return to an earlier state."""
    whole, evidence = plain_reference(spec, DATA)
    pipeline = spec.build()
    tap = pipeline.tap_after(n_plain_stages(pipeline))
    untapped = spec.build()
    for _ in range(2):
        got, inputs, at = [], [], 0
        for x in split(DATA, cut(DATA.shape[1])):
            n = x.shape[1]
            state = pipeline.state
            pipeline.process(x)
            pipeline.state = state
            block = pipeline.process(x)
            assert tap.block is block
            assert tap.first_input == at
            assert ((tap.last_input >= at) & (tap.last_input < at + n)).all()
            same = untapped.process(x)
            np.testing.assert_array_equal(block.data, same.data)
            got.append(tap.data)
            inputs.append(tap.last_input)
            at += n
        assert tap.data.shape[:-1] == tap.signal.shape
        np.testing.assert_allclose(np.concatenate(got, axis=-1), whole, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(np.concatenate(inputs), evidence)
        pipeline.reset()
        untapped.reset()


def test_without_a_tap_nothing_is_kept():
    pipeline = PIPELINES["mel"].build()
    pipeline.process(DATA)
    assert pipeline.tap is None


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("signal", ("signal",)),
        ("features,signal", ("signal", "features")),
        (" features , features", ("features",)),
    ],
)
def test_items_are_a_list(text, items):
    assert parse_items(text) == items


@pytest.mark.parametrize("text", ["", "signal,", "signals", "Signal", "signal;features"])
def test_an_unknown_item_names_the_known(text):
    with pytest.raises(UsageError, match="--publish needs items out of signal, features, joined by commas, got '"):
        parse_items(text)


def test_a_model_without_features_publishes_none():
    with pytest.raises(UsageError, match="--publish features needs a model that computes features"):
        SignalSink(PIPELINES["no features"].build(), ("signal", "features"))


def test_features_are_named_channel_by_channel():
    assert labels(SIGNAL) == ["C3", "Cz", "C4"]
    assert labels(Signal(16.0, ("C3", "Cz"), "dB", 2)) == ["C3@mel00", "C3@mel01", "Cz@mel00", "Cz@mel01"]
    many = labels(Signal(16.0, ("C3",), "dB", 128))
    assert (many[0], many[-1]) == ("C3@mel000", "C3@mel127")


def test_a_band_is_called_by_its_peak():
    """A sine at the centre of a band is loudest there."""
    spec = LogMel(n_fft=256, win_length=256, hop_length=16, n_mels=12, low_hz=1.0, high_hz=40.0)
    for band in (3, 7, 11):
        sine = 100 * np.sin(2 * np.pi * spec.centres_hz[band] * np.arange(1280) / SIGNAL.sfreq)
        assert spec.build(Signal(128.0, ("C3",))).process(sine[None])[0, :, -1].argmax() == band


class Script:
    """A source that delivers one chunk, waits until the test listens, and stays until the test has heard all.

    There is a loop marker at sample `LOOP`, and a second is missing before sample `GAP`.
    """

    def __init__(self, sizes):
        self.times = 700.0 + np.arange(DATA.shape[1]) / SIGNAL.sfreq
        self.times[GAP:] += 1.0
        self.sizes, self.at = [FIRST, *sizes], 0
        self.listening, self.heard = threading.Event(), threading.Event()

    def open(self):
        return StreamInfo("script", SIGNAL)

    def read(self, timeout_s):
        start, stop = self.at, min(self.at + (self.sizes.pop(0) if self.sizes else 8), DATA.shape[1])
        event = self.heard if start == DATA.shape[1] else self.listening
        if start:
            event.wait(TIMEOUT_S)
        self.at = stop
        markers = (Marker("loop", self.times[LOOP]),) if start <= LOOP < stop else ()
        return Received(DATA[:, start:stop], self.times[start:stop], 0.0, markers, event is self.heard)

    def close(self):
        pass


class Listener:
    """An inlet whose samples are kept."""

    def __init__(self, name):
        (found,) = pylsl.resolve_byprop("name", name, 1, TIMEOUT_S)
        self.inlet = pylsl.StreamInlet(found, recover=False)
        self.info = self.inlet.info(TIMEOUT_S)
        self.inlet.open_stream(TIMEOUT_S)

    def described(self):
        channel = self.info.desc().child("channels").child("channel")
        rows = []
        for _ in range(self.info.channel_count()):
            rows.append((channel.child_value("label"), channel.child_value("unit")))
            channel = channel.next_sibling("channel")
        return rows

    def take(self, n):
        rows, stamps = [], []
        while len(stamps) < n:
            more, at = self.inlet.pull_chunk(TIMEOUT_S, n - len(stamps))
            assert at, f"only {len(stamps)} of {n} samples came"
            rows += more
            stamps += at
        return np.array(rows, np.float32).T, np.array(stamps)


@contextlib.contextmanager
def publishing(spec, items, sizes):
    """Run a session in a thread; yield its source."""
    source = Script(sizes)
    pipeline = spec.build()
    session = Session(
        source,
        Decoder(pipeline, Sums(), DecisionSpec(("a", "b"))),
        Identity("tiny", "ab" * 32, "sums", "fp32"),
        SessionSettings("pub"),
        None,
        [],
        pylsl.local_clock,
        SignalSink(pipeline, items),
    )
    thread = threading.Thread(target=session.run)
    thread.start()
    try:
        yield source
    finally:
        source.listening.set()
        source.heard.set()
        thread.join()


def expected(spec, times, part):
    """Return what a listener gets who missed the first chunk: each stretch through a pipeline of its own."""
    columns, stamps = [], []
    for start, stop in ((0, LOOP), (LOOP, GAP), (GAP, DATA.shape[1])):
        data, last_input = part(spec, DATA[:, start:stop])
        heard = last_input + start >= FIRST
        columns.append(data[..., heard])
        stamps.append(times[start:stop][last_input[heard]])
    joined = np.concatenate(columns, axis=-1)
    return joined.reshape(-1, joined.shape[-1]).astype(np.float32), np.concatenate(stamps)


def features_reference(spec, data):
    block = spec.build().process(data)
    return block.data, block.last_input


@pytest.mark.lsl
@pytest.mark.parametrize("sizes", [[8] * 200, [1, 700, 0, 3, 900]], ids=["8", "odd"])
@pytest.mark.parametrize("name", ["mel", "mel after resampling"])
def test_listeners_get_the_pipelines_own_signal_and_features(name, sizes):
    """Sample by sample as float32, with the times of their evidence, over a loop and a gap."""
    spec = PIPELINES[name]
    pipeline = spec.build()
    plain = pipeline.stages[n_plain_stages(pipeline) - 1].signal_out
    with publishing(spec, ("signal", "features"), list(sizes)) as source:
        wanted = {
            "pub-signal": expected(spec, source.times, plain_reference),
            "pub-features": expected(spec, source.times, features_reference),
        }
        listeners = {stream: Listener(stream) for stream in wanted}
        source.listening.set()
        for stream, (columns, stamps) in wanted.items():
            got, at = listeners[stream].take(len(stamps))
            np.testing.assert_array_equal(at, stamps)
            # float64 sums in another order, then float32: the last bit may differ
            np.testing.assert_allclose(got, columns, rtol=1e-6, atol=1e-5)
            listeners[stream].inlet.close_stream()
    signal, features = (listener.info for listener in listeners.values())
    assert (signal.type(), signal.nominal_srate(), signal.channel_format()) == ("EEG", plain.sfreq, pylsl.cf_float32)
    assert (features.type(), features.nominal_srate()) == ("Features", plain.sfreq / 8)
    assert listeners["pub-signal"].described() == [(label, "uV") for label in plain.names]
    described = listeners["pub-features"].described()
    assert described == [(f"{label}@mel{i:02d}", "dB") for label in plain.names for i in range(12)]
    band = features.desc().child("channels").child("channel").next_sibling("channel")
    assert float(band.child_value("centre_hz")) == pytest.approx(LOG_MEL.centres_hz[1], abs=1e-3)
    decoder = features.desc().child("decoder")
    assert (decoder.child_value("name"), decoder.child_value("stream")) == ("pub", "script")
    assert float(decoder.child_value("delay_s")) == pipeline.delay_s()
    assert 0 < float(signal.desc().child("decoder").child_value("delay_s")) < pipeline.delay_s()


@pytest.mark.lsl
def test_only_what_was_asked_for_is_published():
    with publishing(PIPELINES["no features"], ("signal",), [8] * 200) as source:
        listener = Listener("pub-signal")
        assert pylsl.resolve_byprop("name", "pub-features", 1, 0.2) == []
        source.listening.set()
        columns, stamps = expected(PIPELINES["no features"], source.times, plain_reference)
        got, at = listener.take(len(stamps))
        np.testing.assert_array_equal(at, stamps)
        np.testing.assert_allclose(got, columns, rtol=1e-6, atol=1e-5)
        listener.inlet.close_stream()


def test_the_command_line_refuses_an_unknown_item(tmp_path):
    command = [
        sys.executable,
        "-m",
        "apps",
        "run",
        "--stream",
        "x",
        "--model",
        str(tmp_path),
        "--publish",
        "signal,eeg",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert done.stderr == ("bci: error: --publish needs items out of signal, features, joined by commas, got 'eeg'.\n")
