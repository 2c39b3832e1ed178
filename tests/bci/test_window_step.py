"""The module that a GPU's graph holds: equal to stages, network and decision, and the ring that it reads."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from scipy.signal import get_window
from torch.nn.modules.batchnorm import _BatchNorm

from apps.bench import gpu, networks, workload
from bci.chunk import Signal
from bci.decision import softmax
from bci.engines.cuda_graph_engine import CudaGraphEngine
from bci.engines.eager_engine import EagerEngine
from bci.engines.ends import Ends
from bci.engines.parity import LIMITS, check, compare
from bci.engines.window_ring import WindowRing
from bci.engines.window_step import RingStep, WindowStep, calibrated
from bci.errors import EngineError
from bci.ring import Ring
from bci.serving import windows_at
from bci.stages.logmel import LogMel
from models.filterbank import hann
from models.logmel import LogMelFrontEnd
from models.mel_cnn import mel_cnn
from tests.bci.end_to_end import EagerRings, EagerWindows

SIGNAL = Signal(256.0, ("C3", "Cz", "C4", "Pz"))
SPECTRA = {
    "reference": LogMel(512, 512, 16, 64, 0.5, 45.0),
    "padded": LogMel(512, 400, 24, 20, 1.0, 100.0, scale="slaney", norm="slaney"),
    "apart": LogMel(64, 64, 64, 12, 2.0, 100.0, floor=0.01),
}
N_FRAMES, TEMPERATURE = 32, 1.7


def network(n_mels):
    """A mel CNN whose norms have seen features, so that windows are told apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = mel_cnn(SIGNAL.n_channels, N_FRAMES, 16.0, 2, n_mels)
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = None
        with torch.no_grad():
            net.train()(10.0 + 12.0 * torch.randn(16, *net.input_shape))
    return net.eval()


def filtered(n_samples, seed=0):
    """Noise that falls with frequency as an EEG does, at 0.3 to 300 µV, a quiet and a loud stretch in it."""
    rng = np.random.default_rng(seed)
    shape = 1.0 / np.maximum(np.fft.rfftfreq(n_samples, 1 / SIGNAL.sfreq), 0.5)
    spectrum = np.fft.rfft(rng.standard_normal((SIGNAL.n_channels, n_samples))) * shape
    x = np.fft.irfft(spectrum, n_samples)
    return 30.0 * x / x.std() * np.repeat([1.0, 0.01, 10.0, 1.0], -(-n_samples // 4))[:n_samples]


@pytest.mark.parametrize("name", SPECTRA)
def test_the_module_gives_what_stages_network_and_decision_give(name):
    """Float32 from samples to logits beside log-mel in float64, and the softmax in float64 on both sides."""
    spec = SPECTRA[name]
    x = filtered(spec.win_length + spec.hop_length * 299)
    columns = spec.build(SIGNAL).process(x)
    starts = np.arange(0, columns.shape[-1] - N_FRAMES + 1, 4)
    features = np.ascontiguousarray(windows_at(columns.astype(np.float32), starts, N_FRAMES))
    n_samples = spec.win_length + spec.hop_length * (N_FRAMES - 1)
    signals = np.ascontiguousarray(windows_at(x.astype(np.float32), starts * spec.hop_length, n_samples))
    net = network(spec.n_mels)
    ends = Ends(TEMPERATURE, LogMelFrontEnd(SIGNAL.sfreq, **asdict(spec)), signals)
    engine = EagerWindows(net, ends)
    wanted = EagerEngine(net)(features)
    assert np.ptp(wanted, axis=0).max() > 0.1
    logits, probabilities = engine.outcomes(signals)
    parity = compare(logits, wanted, "fp32")
    assert (parity.n_other, parity.error <= LIMITS["fp32"]) == (0, True), parity
    np.testing.assert_allclose(probabilities, softmax(logits, TEMPERATURE), rtol=1e-12)
    np.testing.assert_allclose(probabilities, softmax(wanted, TEMPERATURE), atol=1e-4)
    assert check(engine, net, features, signals).error <= LIMITS["fp32"]


def test_the_softmax_is_the_decisions():
    """Float64 with the temperature, and NaN instead of a probability where a network overflows."""
    logits = np.array([[1.0, -2.0, 3e4], [np.inf, 0.0, 1.0], [np.nan, 0.0, 1.0], [0.0, 0.0, 0.0]], np.float32)
    found = calibrated(torch.from_numpy(logits), 0.7).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, softmax(logits, 0.7), rtol=1e-12)


def test_half_precision_is_the_networks_alone():
    seen = []

    class Network(torch.nn.Module):
        def forward(self, x):
            seen.append(x.dtype)
            return x.mean(dim=(1, 2))[:, :2]

    front = LogMelFrontEnd(256.0, 64, 64, 16, 8, 2.0, 100.0)
    logits, probabilities = WindowStep(Network(), torch.bfloat16, front)(torch.zeros(3, 4, 128))
    assert (seen, logits.dtype, probabilities.dtype) == ([torch.bfloat16], torch.float32, torch.float64)


@pytest.mark.parametrize("shape", [(3,), (2, 5)], ids=["samples", "features"])
def test_a_ring_turned_by_the_step_is_the_newest_window(shape):
    """Whatever comes at once: nothing, one, more than the ring holds; and after a restart."""
    rng, n = np.random.default_rng(0), 7
    store, oldest = torch.zeros(*shape, n), torch.zeros(1, dtype=torch.int64)
    step = RingStep(lambda x: (x.flatten(1), x.flatten(1).double()), n)

    def compute():
        logits, probabilities = step(store, oldest)
        return logits.numpy().copy(), probabilities.numpy()

    window, ring = WindowRing(store.numpy(), oldest.numpy(), compute), Ring(shape, n)
    address = store.data_ptr()
    for size in [7, 0, 1, 3, 20, 5, 7, 6, -1, 2, 9]:
        if size < 0:
            window.clear()
            ring.clear()
            continue
        columns = rng.standard_normal((*shape, size))
        window.push(columns)
        ring.push(columns)
        assert window.n_pushed == ring.n_pushed
        if ring.n_pushed >= n:
            np.testing.assert_array_equal(window.outcome()[0], ring.newest(n).reshape(-1))
    assert store.data_ptr() == address
    assert store.is_contiguous()


def test_a_ring_for_other_windows_than_the_engines_is_refused():
    engine = CudaGraphEngine.__new__(CudaGraphEngine)
    engine.name, engine._shape = "cuda-graph", (4, 1008)
    with pytest.raises(
        EngineError, match=r"The cuda-graph engine was built for windows of shape \(4, 1008\), got \(4, 999\)\. Use the"
    ):
        engine.ring((4, 999))


@pytest.mark.parametrize("n", [1, 2, 7, 50, 400, 512])
def test_the_window_without_scipy_is_scipys(n):
    np.testing.assert_array_equal(hann(n), get_window("hann", n))


def test_the_bench_measures_the_spectrum_of_the_reference_workload():
    sfreq, n_fft, win_length, hop_length, n_mels, low_hz, high_hz = networks.SPECTRUM
    assert LogMel(n_fft, win_length, hop_length, n_mels, low_hz, high_hz) == workload.LOG_MEL
    assert (sfreq, networks.N_SAMPLES) == (workload.SIGNAL.sfreq, workload.WINDOW_SAMPLES)
    ends, columns = networks.with_spectrum(2)
    net = networks.network()
    assert columns.shape[1:] == net.input_shape
    assert check(EagerWindows(net, ends), net, columns, ends.signals).error <= LIMITS["fp32"]


def test_a_live_ring_takes_the_newest_samples_of_a_window():
    engine = EagerRings(network(16), Ends(1.0, LogMelFrontEnd(256.0, 64, 64, 16, 16, 2.0, 100.0)))
    n = 64 + 16 * (N_FRAMES - 1)
    call = gpu.LiveRing(engine, (SIGNAL.n_channels, n), 80)
    x = np.random.default_rng(0).normal(0.0, 20.0, (1, SIGNAL.n_channels, n)).astype(np.float32)
    for stop in range(80, n + 1, 80):
        call(x[..., :stop])
    assert n % 80 == 0
    np.testing.assert_array_equal(call._ring.outcome()[0], engine(x)[0])
