"""Networks with fixed random weights, by name; needs torch only, so that a bare GPU machine can measure them."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from bci.errors import UsageError
from models import registry

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from bci.engines.ends import Ends

REFERENCE = "mel_cnn_reference"
N_CHANNELS, N_CLASSES, N_MELS, N_FRAMES = 19, 2, 64, 129
SFREQ, FRAME_HZ, N_SAMPLES = 256.0, 16.0, 2560
SPECTRUM = (SFREQ, 512, 512, 16, N_MELS, 0.5, 45.0)
"""Arguments of `models.logmel.LogMelFrontEnd`."""

WEIGHTS_SEED = 2024


def network(name: str = REFERENCE, **other: int) -> nn.Module:
    """Return a network of the registry for 19 channels at 256 Hz and windows of 10 s, untrained.

    Parameters
    ----------
    name : str, default="mel_cnn_reference"
        A name of `models.registry.names`.
    **other : int
        Arguments that are to have another value, such as ``n_times``.

    Raises
    ------
    UsageError
        If there is none of that name, or it cannot be made from these shapes alone.
    """
    import torch

    if name not in registry.names():
        raise UsageError(f"--models takes names of the registry ({', '.join(registry.names())}), got {name!r}.")
    wanted = registry.parameters(name)
    mel = "n_features" in wanted
    known = {
        "n_channels": N_CHANNELS,
        "n_times": N_FRAMES if mel else N_SAMPLES,
        "sfreq": FRAME_HZ if mel else SFREQ,
        "n_classes": N_CLASSES,
        "n_features": N_MELS,
        **other,
    }
    given = {key: value for key, value in known.items() if key in wanted}
    unknown = [key for key, p in wanted.items() if p.default is inspect.Parameter.empty and key not in given]
    if unknown:
        raise UsageError(f"The network {name} also needs {', '.join(unknown)}: it is not measured.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(WEIGHTS_SEED)
        try:
            return _settled(registry.build(registry.ModelSpec(name, given)))
        except ValueError as error:
            raise UsageError(f"The network {name} cannot be made for 19 channels and 10 s: {error}") from error


def _settled(net: nn.Module) -> nn.Module:
    """Give norms the statistics of noise: without, an untrained network answers all windows alike."""
    import torch

    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    if norms:
        for norm in norms:
            norm.momentum = None  # the mean over all that is seen
        with torch.no_grad():
            net.train()(torch.from_numpy(windows(cast("tuple[int, ...]", net.input_shape), 4)))
    return net.eval()


def with_spectrum(n: int) -> tuple[Ends, np.ndarray]:
    """Return the spectrum of the reference workload with `n` windows of noise in µV, and their columns in dB."""
    import numpy as np
    import torch

    from bci.engines.ends import Ends
    from models.logmel import LogMelFrontEnd

    signals = np.random.default_rng(0).normal(0.0, 20.0, (n, N_CHANNELS, N_SAMPLES)).astype(np.float32)
    exact = LogMelFrontEnd(*SPECTRUM, dtype=torch.float64)
    with torch.inference_mode():
        columns = np.concatenate([exact(torch.from_numpy(x[None])).float().numpy() for x in signals])
    return Ends(1.0, LogMelFrontEnd(*SPECTRUM), signals), columns


def key_of(net: nn.Module, what: Mapping[str, Any]) -> str:
    """Return a hash of weights and description, for the cache of engines."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def windows(shape: tuple[int, ...], n: int, seed: int = 0) -> np.ndarray:
    """Return noise at the scale of log-mel power in dB, float32 (n, *shape)."""
    import numpy as np

    return np.random.default_rng(seed).normal(30.0, 10.0, (n, *shape)).astype(np.float32)


def mflop(call: Callable[[], object]) -> float:
    """Return the arithmetic of a call in MFLOP, two for each multiply-add of convolutions and products."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e6
