"""The segmenter as a stream: every sample is judged when it comes, from itself and its past."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.causal import CausalConv1d, CausalSequence, ExponentialMean, State
from models.raw import RawFrontEnd


class StridedAttention(nn.Module):
    """Self-attention over the present sample and past ones a fixed stride apart, with a bias for each distance.

    Parameters
    ----------
    n_channels : int
        Channels in and out; a multiple of `n_heads`.
    n_heads : int
        Heads.
    look_back : int
        Samples that are attended to, the present one among them.
    stride : int
        Samples from one to the next.

    Attributes
    ----------
    n_behind : int
        Past samples that are kept.

    Raises
    ------
    ValueError
        If the channels cannot be divided among the heads, or not even the present sample is attended to.

    Notes
    -----
    A network that lowers the rate attends to every 32nd sample, say, on a grid that begins with the window. Here
    every sample has a grid of its own: no sample is special, and a stream can be cut anywhere.
    """

    n_states = 3
    BLOCK = 1024  # samples at least whose scores stand in one matrix

    def __init__(self, n_channels: int, n_heads: int, look_back: int, stride: int) -> None:
        super().__init__()
        if look_back < 1 or stride < 1 or n_heads < 1 or n_channels % n_heads:
            raise ValueError(
                f"Strided attention needs look_back and stride of at least 1 and n_channels that n_heads divides, got "
                f"look_back={look_back}, stride={stride}, n_channels={n_channels}, n_heads={n_heads}."
            )
        self.norm = nn.LayerNorm(n_channels)
        self.project = nn.Linear(n_channels, 3 * n_channels, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.merge = nn.Linear(n_channels, n_channels)
        self.distance = nn.Parameter(torch.zeros(n_heads, look_back))
        self.n_behind = (look_back - 1) * stride
        self._n_channels, self._n_heads, self._look_back, self._stride = n_channels, n_heads, look_back, stride

    def initial(self, n_batch: int) -> State:
        """Return no keys, no values, and that there were none."""
        kept = self.distance.new_zeros(n_batch, self.n_behind, self._n_channels)
        return kept, kept.clone(), self.distance.new_zeros(n_batch, self.n_behind)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within whole streams, (batch, n_channels, time) to the same shape."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend from the next samples and add them, (batch, n_channels, n) to the same shape."""
        if x.shape[-1] == 0:
            return x, state
        outputs = []
        for piece in x.split(max(self.n_behind + self._stride, self.BLOCK), dim=-1):  # the work grows with the stream
            y, state = self._attend(piece, state)
            outputs.append(y)
        return x + torch.cat(outputs, dim=-1), state

    def _attend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        n = x.shape[-1]
        query, key, value = self.project(self.norm(x.transpose(1, 2))).chunk(3, dim=-1)
        keys, values = torch.cat((state[0], key), dim=1), torch.cat((state[1], value), dim=1)
        there = torch.cat((state[2], x.new_ones(x.shape[0], n)), dim=1)
        n_new = math.ceil(n / self._stride)
        spare = n_new * self._stride - n  # samples to come: nothing attends to them
        n_phases = min(n, self._stride)
        seen = functional.pad(there, (0, spare), value=1.0).unflatten(1, (-1, self._stride))[:, :, :n_phases]
        row = torch.arange(n_new)[:, None] - torch.arange(self._look_back - 1 + n_new) + self._look_back - 1
        near = ((row >= 0) & (row < self._look_back)).to(x.device)
        bias = self.distance[:, row.clamp(0, self._look_back - 1).to(x.device)]
        phases = [self._phases(part, spare, n_phases) for part in (query, keys, values)]
        scores = phases[0] @ phases[1].transpose(-1, -2) / math.sqrt(self._n_channels / self._n_heads)
        scores = scores + bias[:, None]
        allowed = near & (seen.transpose(1, 2)[:, None, :, None, :] > 0)
        mixed = self.softmax(scores.masked_fill(~allowed, -math.inf)) @ phases[2]
        # (batch, heads, phases, rows, channels) back to one row of samples
        flat = mixed.permute(0, 3, 2, 1, 4).flatten(3).flatten(1, 2)[:, :n]
        kept = (keys[:, n:].clone(), values[:, n:].clone(), there[:, n:].clone())
        return self.merge(flat).transpose(1, 2), kept

    def _phases(self, x: Tensor, spare: int, n_phases: int) -> Tensor:
        """Return (batch, time, channels) as (batch, n_heads, n_phases, time / stride, channels of a head)."""
        cut = functional.pad(x, (0, 0, 0, spare)).unflatten(1, (-1, self._stride))[:, :, :n_phases]
        return cut.unflatten(-1, (self._n_heads, -1)).permute(0, 3, 2, 1, 4)


class CausalSegmenter(nn.Module):
    """Dilated causal convolutions, attention to the past, convolutions with bridges, a mean that forgets.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window. ``n_times`` is the context: nothing before it changes a logit but the mean.
    n_classes : int
        Number of logits.
    decay : float
        What is left of a sample's weight in the mean one sample later.
    widths : tuple of int
        Channels of each convolution of the encoder; the taps of the next are twice as far apart.
    kernels : tuple of int
        Their taps.
    n_heads, n_layers : int
        Heads and layers of the attention.
    dropout : float, default=0.1
        Before the classifier.
    limit_uv, scale_uv : float, default=1024.0, 32.0
        The input is clipped and divided, see `models.raw.RawFrontEnd`.

    Attributes
    ----------
    n_behind : int
        Past samples that the convolutions and the attention see.
    n_states : int
        Tensors in a state.

    Raises
    ------
    ValueError
        If `widths` and `kernels` differ in length, or the convolutions alone see more than the context.

    Notes
    -----
    Where `models.seizure_segmenter.SeizureSegmenter` halves the rate, the taps move apart: the same reach, at every
    sample. A window is a stream from its first sample.
    """

    eager_only = "the exporter does not come to an end with the strides of its attention"

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        n_classes: int,
        decay: float,
        widths: tuple[int, ...],
        kernels: tuple[int, ...],
        n_heads: int,
        n_layers: int,
        dropout: float = 0.1,
        limit_uv: float = 1024.0,
        scale_uv: float = 32.0,
    ) -> None:
        super().__init__()
        stride = 2 ** len(widths)
        reach = sum((kernel - 1 + 2) << i for i, kernel in enumerate(kernels))
        if len(widths) != len(kernels) or reach >= n_times:
            raise ValueError(
                f"The convolutions of the causal segmenter see {reach + 1} samples, the context has {n_times}; "
                f"widths={widths} need as many kernels, got {kernels}. Use a longer window or fewer widths."
            )
        look_back = 1 + (n_times - 1 - reach) // (n_layers * stride)
        self.n_behind = reach + n_layers * (look_back - 1) * stride
        self.input_shape = (n_channels, n_times)
        self.front_end = RawFrontEnd(limit_uv, scale_uv)
        sides = (n_channels, *widths)
        self.down = nn.ModuleList(
            _conv(n_in, n_out, kernel, 1 << i)
            for i, (n_in, n_out, kernel) in enumerate(zip(sides, widths, kernels, strict=False))
        )
        self.attention = CausalSequence(
            *(StridedAttention(widths[-1], n_heads, look_back, stride) for _ in range(n_layers))
        )
        upward = (widths[-1], *widths[::-1])
        self.up = nn.ModuleList(
            _conv(upward[i] + widths[level], widths[level], 3, 1 << level)
            for i, level in enumerate(reversed(range(len(widths))))
        )
        self.mean = ExponentialMean(widths[0], (decay,))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[0], n_classes)
        self.n_states = 2 * len(widths) + self.attention.n_states + self.mean.n_states

    def initial(self, n_batch: int) -> State:
        """Return the state before the first sample of `n_batch` streams."""
        parts = (*self.down, self.attention, *self.up, self.mean)
        return tuple(tensor for part in parts for tensor in part.initial(n_batch))

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows, each a stream of its own.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, in µV.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.step(x, self.initial(x.shape[0]))[0]

    def segment(self, x: Tensor) -> Tensor:
        """Judge every sample of windows, each a stream of its own.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, in µV.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes, n_times)
        """
        return self.frames(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Classify after the next samples.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n)
            Next samples; `n` may be 0.
        state : tuple of Tensor
            From `initial` or the step before.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
            After the last sample.
        state : tuple of Tensor
        """
        _, state = self._run(x, state)
        return self.head(self.dropout(self.mean.value(state[-2:]))), state

    def frames(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Classify after each of the next samples; as `step`, with logits of shape (batch, n_classes, n)."""
        means, state = self._run(x, state)
        return self.head(self.dropout(means.transpose(1, 2))).transpose(1, 2), state

    def _run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.head.in_features, 0), state
        n = len(self.down)
        before, after, bridges = list(state), list[Tensor](), []
        x = self.front_end(x)
        for layer in self.down:
            x, kept = layer.step(x, (before.pop(0),))  # type: ignore[operator]
            after += kept
            bridges.append(x)
        n_attention = self.attention.n_states
        x, kept = self.attention.step(x, tuple(before[:n_attention]))
        after += kept
        before = before[n_attention:]
        for layer, bridge in zip(self.up, reversed(bridges), strict=True):
            x, kept = layer.step(torch.cat((x, bridge), dim=1), (before.pop(0),))  # type: ignore[operator]
            after += kept
        means, kept = self.mean.step(x, state[2 * n + n_attention :])
        return means, (*after, *kept)


def causal_segmenter(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    smooth_s: float = 1.0,
    widths: tuple[int, ...] = (16, 24, 32, 48),
    kernels: tuple[int, ...] = (7, 5, 5, 3),
    n_heads: int = 4,
    n_layers: int = 2,
    dropout: float = 0.1,
    limit_uv: float = 1024.0,
    scale_uv: float = 32.0,
) -> nn.Module:
    """Build the small segmenter with state, which reads signals in µV.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 58,036 parameters. A step costs the same however long
    the stream.

    Parameters
    ----------
    n_channels, n_times, n_classes : int
        See `CausalSegmenter`.
    sfreq : float
        Sampling rate, in Hz. Low rates are served faster: there is a step for every sample.
    smooth_s : float, default=1.0
        Time constant of the mean before the classifier, in seconds.
    widths, kernels, n_heads, n_layers, dropout, limit_uv, scale_uv
        See `CausalSegmenter`.
    """
    decay = math.exp(-1.0 / (smooth_s * sfreq))
    return CausalSegmenter(
        n_channels, n_times, n_classes, decay, widths, kernels, n_heads, n_layers, dropout, limit_uv, scale_uv
    )


def _conv(n_in: int, n_out: int, kernel: int, dilation: int) -> CausalSequence:
    return CausalSequence(CausalConv1d(n_in, n_out, kernel, dilation, bias=False), nn.BatchNorm1d(n_out), nn.SiLU())
