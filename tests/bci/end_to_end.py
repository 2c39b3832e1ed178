"""What a GPU's graph holds, run eagerly on the processor: a real engine for tests of all that stands around it."""

from __future__ import annotations

from dataclasses import asdict

import torch

from bci.engines.ends import NO_SPECTRUM, Ends
from bci.engines.window_ring import WindowRing
from bci.engines.window_step import RingStep, WindowStep
from models.logmel import LogMelFrontEnd


class EagerWindows:
    """Windows of the signal, or columns, to probabilities; no ring, like an engine that several streams share.

    Parameters
    ----------
    network : Module
    ends : Ends
    """

    name, precision = "eager-windows", "fp32"

    def __init__(self, network, ends: Ends = NO_SPECTRUM):
        self.takes_signal, self.temperature = ends.spectrum is not None, ends.temperature
        self.step = WindowStep(network, torch.float32, ends.spectrum, ends.temperature).eval()

    def __call__(self, batch):
        return self.outcomes(batch)[0]

    @torch.inference_mode()
    def outcomes(self, batch):
        logits, probabilities = self.step(torch.from_numpy(batch))
        return logits.numpy(), probabilities.numpy()


class EagerRings(EagerWindows):
    """The same with rings, as a graph has them: the module that is captured, on memory at one address."""

    name = "eager-rings"

    def ring(self, shape):
        store, oldest = torch.zeros(shape), torch.zeros(1, dtype=torch.int64)
        step = RingStep(self.step, shape[-1])

        @torch.inference_mode()
        def compute():
            logits, probabilities = step(store, oldest)
            return logits.numpy().copy(), probabilities.numpy().copy()

        return WindowRing(store.numpy(), oldest.numpy(), compute)


def spectrum_of(pipeline) -> torch.nn.Module:
    """Return the torch front end of a pipeline's last stage."""
    return LogMelFrontEnd(pipeline.build().stages[-1].signal_in.sfreq, **asdict(pipeline.stages[-1]))
