"""A temporal convolutional network on log-mel frames: each frame is computed once, whatever the context."""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.causal import CausalConv1d, CausalConv2d, CausalResidual, CausalSequence, ExponentialMean, State
from models.layers import GeMPool
from models.mel_cnn import ScaledMix

FORGOTTEN = 0.01
"""Weight, in the longer mean, of a frame as old as the context beside that of the present one."""


class MelTCN(nn.Module):
    """Channel mixing, causal separable blocks, a filter over frequency, dilated blocks, and means that forget.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of log-mel frames. ``n_times`` is the context: what is older has next to no weight.
    n_classes : int
        Number of logits.
    decays : tuple of float
        What is left of a frame's weight one frame later, for each mean over time.
    n_mixed : int
        Virtual channels that the first layer mixes from the electrodes, frame by frame.
    widths : tuple of int
        Output channels of each block over frequency and time; each halves the frequency axis.
    dilations : tuple of int
        Frames between the taps of each block over time alone.
    kernel : int, default=5
        Mels that a block over frequency and time sees; odd.
    taps : int, default=3
        Frames that a block weighs.
    dropout : float, default=0.2
        Before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    n_behind : int
        Past frames that the convolutions see.
    n_states : int
        Tensors in a state.

    Raises
    ------
    ValueError
        If the convolutions alone see more than the context.

    Notes
    -----
    A window is a stream from its first frame: ``forward`` gives the logits after its last. Means over time are
    generalised means as in the mel CNN, with weights that fall off exponentially instead of a window's edge.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        decays: tuple[float, ...],
        n_mixed: int,
        widths: tuple[int, ...],
        dilations: tuple[int, ...],
        kernel: int = 5,
        taps: int = 3,
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape: tuple[int, int, int] = (n_channels, n_features, n_times)
        self.n_behind = (taps - 1) * (len(widths) + sum(dilations))
        if self.n_behind >= n_times:
            raise ValueError(
                f"The convolutions of the mel TCN see {self.n_behind + 1} frames, the context has {n_times}. "
                "Use a longer window."
            )
        self.mix = ScaledMix(n_channels, n_mixed, offset_db, scale_db)
        blocks: list[nn.Module] = []
        height, n_in = n_features, n_mixed
        for n_out in widths:
            conv = CausalConv2d(n_in, n_in, (kernel, taps), height, stride=2, groups=n_in, bias=False)
            blocks += [conv, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.SiLU()]
            height, n_in = conv.n_features_out, n_out
        self.blocks = CausalSequence(*blocks)
        self.frequency = nn.Sequential(
            nn.Conv2d(n_in, n_in, (height, 1), groups=n_in, bias=False), nn.BatchNorm2d(n_in), nn.SiLU()
        )
        self.time = CausalSequence(*(_residual(n_in, taps, dilation) for dilation in dilations))
        self.gem = GeMPool()
        self.means = ExponentialMean(n_in, decays)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(len(decays) * n_in, n_classes)
        self.n_states = self.blocks.n_states + self.time.n_states + self.means.n_states

    def initial(self, n_batch: int) -> State:
        """Return the state before the first frame of `n_batch` streams."""
        return (*self.blocks.initial(n_batch), *self.time.initial(n_batch), *self.means.initial(n_batch))

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows, each a stream of its own.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_times)
            Log-mel power, in dB.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Classify after the next frames.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n)
            Next frames; `n` may be 0.
        state : tuple of Tensor
            From `initial` or the step before.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
            After the last frame.
        state : tuple of Tensor
        """
        _, state = self._run(x, state)
        return self._classify(self.means.value(state[-2:])), state

    def frames(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Classify after each of the next frames; as `step`, with logits of shape (batch, n_classes, n)."""
        means, state = self._run(x, state)
        return self._classify(means.transpose(1, 2)).transpose(1, 2), state

    def _run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.head.in_features, 0), state
        n_blocks, n_time = self.blocks.n_states, self.time.n_states
        x, blocks = self.blocks.step(self.mix(x), state[:n_blocks])
        x, time = self.time.step(self.frequency(x)[:, :, 0], state[n_blocks : n_blocks + n_time])
        means, kept = self.means.step(self.gem.powered(x), state[n_blocks + n_time :])
        return means, (*blocks, *time, *kept)

    def _classify(self, means: Tensor) -> Tensor:
        return self.head(self.dropout(self.gem.root(means)))


def mel_tcn(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    short_s: float = 1.0,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the mel TCN, whose cost does not depend on its context.

    For 19 channels, 64 mels and 2 classes: 19,811 parameters, 0.20 MFLOP a frame (two for each multiply-add
    of convolutions and classifier).

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, mels. The frames are the context of the longer mean: a frame as old has
        1 % of the weight of the present one.
    sfreq : float
        Frames per second.
    n_classes : int
        Number of logits.
    short_s : float, default=1.0
        Time constant of the shorter mean, in seconds.
    dropout, offset_db, scale_db : float
        See `MelTCN`.
    """
    return MelTCN(
        n_channels,
        n_features,
        n_times,
        n_classes,
        decays=(math.exp(-1.0 / (short_s * sfreq)), FORGOTTEN ** (1.0 / n_times)),
        n_mixed=16,
        widths=(24, 40, 64),
        dilations=(1, 2, 4),
        dropout=dropout,
        offset_db=offset_db,
        scale_db=scale_db,
    )


def _residual(n_channels: int, taps: int, dilation: int) -> CausalResidual:
    return CausalResidual(
        CausalConv1d(n_channels, n_channels, taps, dilation, groups=n_channels, bias=False),
        nn.Conv1d(n_channels, n_channels, 1, bias=False),
        nn.BatchNorm1d(n_channels),
        nn.SiLU(),
    )
