"""The peer of the latency benchmark: mne-lsl and PyTorch as a user puts them together today."""

from __future__ import annotations

import gc
import logging
import time
from multiprocessing.connection import Connection
from typing import Literal

import numpy as np

from apps.bench.children import reply, stop_event
from apps.bench.trace import Trace
from apps.bench.workload import HIGH_HZ, HOP_SAMPLES, LOG_MEL, LOW_HZ, SIGNAL, WINDOW_SAMPLES, network
from models.filterbank import mel_filterbank

Mode = Literal["manual", "thread"]
MODES: tuple[Mode, ...] = ("manual", "thread")
"""``manual``: the loop calls ``acquire``. ``thread``: mne-lsl's own thread does, every millisecond."""

POLL_S = 0.0002
RESOLVE_TIMEOUT_S = 60.0
ACQUISITION_DELAY_S = 0.001
INSTALL = "pip install 'streaming-bci[bench]'"


class LogMelOfWindow:
    """Log-mel frames of a whole window by ``torch.stft``."""

    def __init__(self) -> None:
        import torch

        bank = mel_filterbank(
            SIGNAL.sfreq, LOG_MEL.n_fft, LOG_MEL.n_mels, LOG_MEL.low_hz, LOG_MEL.high_hz, LOG_MEL.scale, LOG_MEL.norm
        )
        self._torch = torch
        self._bank = torch.from_numpy(bank.astype(np.float32))
        self._window = torch.hann_window(LOG_MEL.win_length)

    def __call__(self, data: np.ndarray) -> object:
        """Return the features, shape (1, n_channels, n_mels, n_frames), of samples (n_channels, n_samples)."""
        torch = self._torch
        spectrum = torch.stft(
            torch.from_numpy(data),
            LOG_MEL.n_fft,
            LOG_MEL.hop_length,
            LOG_MEL.win_length,
            self._window,
            center=False,
            return_complex=True,
        )
        power = torch.view_as_real(spectrum).square().sum(-1)
        return (10.0 * torch.log10(torch.clamp(self._bank @ power, min=LOG_MEL.floor)))[None]


def decode(pipe: Connection, stream: str, out: str, mode: Mode, history_s: float, n_threads: int) -> None:
    """Serve the reference workload on `stream` until the parent says stop; answer when ready and at the end."""
    import torch

    torch.set_num_threads(n_threads)
    started = time.perf_counter()
    net, log_mel = network(), LogMelOfWindow()
    with torch.inference_mode():
        for _ in range(20):
            net(log_mel(np.zeros((SIGNAL.n_channels, WINDOW_SAMPLES), np.float32)))
    build_s = time.perf_counter() - started
    from mne_lsl import set_log_level
    from mne_lsl.lsl import StreamInfo, StreamOutlet, local_clock
    from mne_lsl.stream import StreamLSL

    set_log_level(logging.ERROR)
    outlet = StreamOutlet(StreamInfo(out, "Predictions", 2, 0, "float32", out))
    stopped = stop_event(pipe)
    reply(pipe, (f"eager, {mode}", build_s))
    source = StreamLSL(bufsize=history_s, name=stream)
    source.connect(acquisition_delay=None if mode == "manual" else ACQUISITION_DELAY_S, timeout=RESOLVE_TIMEOUT_S)
    source.filter(LOW_HZ, HIGH_HZ)
    picks = np.arange(SIGNAL.n_channels)  # names or None cost more
    outputs = []
    gc.freeze()
    cpu_s, begun = time.process_time(), time.perf_counter()
    with torch.inference_mode():
        while not stopped.is_set():
            if mode == "manual":
                source.acquire()
            if source.n_new_samples < HOP_SAMPLES:
                time.sleep(POLL_S)
                continue
            t0 = local_clock()
            data, stamps = source.get_data(WINDOW_SAMPLES / SIGNAL.sfreq, picks)
            t1 = local_clock()
            features = log_mel(data)
            t2 = local_clock()
            probabilities = torch.softmax(net(features), -1)[0].numpy()
            t3 = local_clock()
            outlet.push_sample(probabilities, stamps[-1])
            t4 = local_clock()
            stages = {
                "receive": t0 - stamps[-1],
                "get_data": t1 - t0,
                "features": t2 - t1,
                "engine": t3 - t2,
                "publish": t4 - t3,
            }
            outputs.append((float(stamps[-1]), t4, stages))
    busy = (time.process_time() - cpu_s) / (time.perf_counter() - begun)
    source.disconnect()
    reply(pipe, Trace.of(outputs, busy))
