"""Layers that can be run as a stream arrives: causal convolution, attention and recurrence with explicit state.

Every layer has ``initial(n_batch) -> state`` and ``step(x, state) -> (y, state)``. Steps over any cutting of a stream,
empty pieces included, give what ``forward`` gives over the whole; a stream begins with the initial state, and to begin
with it again is a reset. A state is a tuple of tensors, batch first, that no layer writes into: keeping it is a
snapshot. Time is the last axis.
"""

from __future__ import annotations

import math
from typing import Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]


class CausalLayer(Protocol):
    """What can be run piece by piece."""

    n_states: int
    """Tensors in a state."""

    def initial(self, n_batch: int) -> State:
        """Return the state before the first frame of `n_batch` streams."""
        ...

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the output for the next frames ``x`` (batch, ..., n), and the state after them; `n` may be 0."""
        ...


class CausalClassifier(CausalLayer, Protocol):
    """A network with state that classifies: ``step`` gives the logits after the last frame, (batch, n_classes)."""

    def frames(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the logits after each of the next frames, (batch, n_classes, n), and the state."""
        ...


class CausalConv1d(nn.Conv1d):
    """Convolution over time whose output sees the present frame and the past.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel : int
        Frames that are weighed.
    dilation : int, default=1
        Frames from one weighed frame to the next.
    groups : int, default=1
        Groups of channels, as in `torch.nn.Conv1d`.
    bias : bool, default=True
        Whether a constant is added.

    Attributes
    ----------
    n_behind : int
        Past frames that an output sees, and that the state keeps. Before the stream they are 0.

    References
    ----------
    van den Oord et al. (2016), arXiv:1609.03499; kept inputs as in Rybakov et al. (2020),
    doi:10.21437/Interspeech.2020-1003.
    """

    n_states = 1

    def __init__(
        self, n_in: int, n_out: int, kernel: int, dilation: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(n_in, n_out, kernel, dilation=dilation, groups=groups, bias=bias)
        self.n_behind = (kernel - 1) * dilation

    def initial(self, n_batch: int) -> State:
        """Return silence."""
        return (self.weight.new_zeros(n_batch, self.in_channels, self.n_behind),)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve whole streams, (batch, n_in, time) to (batch, n_out, time)."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Convolve the next frames, (batch, n_in, n) to (batch, n_out, n)."""
        seen = torch.cat((state[0], x), dim=-1)
        y = super().forward(seen) if x.shape[-1] else x.new_zeros(x.shape[0], self.out_channels, 0)
        return y, (_newest(seen, self.n_behind),)


class CausalConv2d(nn.Conv2d):
    """Convolution over frequency and time: centred in frequency with zeros around, causal in time.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel : tuple of int
        Features and frames that are weighed; the first is odd.
    n_features : int
        Features of the input.
    stride : int, default=1
        In frequency only: each frame in gives a frame out.
    dilation : int, default=1
        In time only.
    groups : int, default=1
        Groups of channels.
    bias : bool, default=True
        Whether a constant is added.

    Attributes
    ----------
    n_behind : int
        Past frames that an output sees, and that the state keeps. Before the stream they are 0.
    n_features_out : int
        Features of the output.
    """

    n_states = 1

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: tuple[int, int],
        n_features: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(n_in, n_out, kernel, (stride, 1), (kernel[0] // 2, 0), (1, dilation), groups, bias)
        self.n_behind = (kernel[1] - 1) * dilation
        self._n_features = n_features
        self.n_features_out = math.ceil(n_features / stride)

    def initial(self, n_batch: int) -> State:
        """Return silence."""
        return (self.weight.new_zeros(n_batch, self.in_channels, self._n_features, self.n_behind),)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve whole streams, (batch, n_in, n_features, time) to (batch, n_out, n_features_out, time)."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Convolve the next frames, (batch, n_in, n_features, n) to (batch, n_out, n_features_out, n)."""
        seen = torch.cat((state[0], x), dim=-1)
        empty = (x.shape[0], self.out_channels, self.n_features_out, 0)
        y = super().forward(seen) if x.shape[-1] else x.new_zeros(empty)
        return y, (_newest(seen, self.n_behind),)


class CausalAttention(nn.Module):
    """Self-attention over the present frame and a fixed number of past ones, with a bias for each distance.

    Parameters
    ----------
    n_channels : int
        Channels in and out; a multiple of `n_heads`.
    n_heads : int
        Heads.
    look_back : int
        Frames that are attended to, the present one among them.

    Raises
    ------
    ValueError
        If the channels cannot be divided among the heads, or not even the present frame is attended to.

    Notes
    -----
    The state is the keys and values of the last ``look_back - 1`` frames, and which of them there were. The bias
    depends on the distance alone, so that the time since the start of the stream changes nothing.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762; bias by distance as in Raffel et al. (2020), arXiv:1910.10683, without
    their buckets.
    """

    n_states = 3

    def __init__(self, n_channels: int, n_heads: int, look_back: int) -> None:
        super().__init__()
        if look_back < 1 or n_heads < 1 or n_channels % n_heads:
            raise ValueError(
                f"Causal attention needs look_back of at least 1 and n_channels that n_heads divides, got "
                f"look_back={look_back}, n_channels={n_channels}, n_heads={n_heads}."
            )
        self.project = nn.Linear(n_channels, 3 * n_channels)
        self.merge = nn.Linear(n_channels, n_channels)
        self.distance = nn.Parameter(torch.zeros(n_heads, look_back))
        self.n_behind = look_back - 1
        self._n_channels, self._n_heads = n_channels, n_heads

    def initial(self, n_batch: int) -> State:
        """Return no keys, no values, and that there were none."""
        kept = self.distance.new_zeros(n_batch, self.n_behind, self._n_channels)
        return kept, kept.clone(), self.distance.new_zeros(n_batch, self.n_behind)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within whole streams, (batch, n_channels, time) to the same shape."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Attend from the next frames, (batch, n_channels, n) to the same shape."""
        outputs = []
        for piece in x.split(self.n_behind + 1, dim=-1):  # the work grows with the stream, not with its square
            y, state = self._attend(piece, state)
            outputs.append(y)
        return torch.cat(outputs, dim=-1), state

    def _attend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        n, behind = x.shape[-1], self.n_behind
        query, key, value = self.project(x.transpose(1, 2)).chunk(3, dim=-1)
        keys, values = torch.cat((state[0], key), dim=1), torch.cat((state[1], value), dim=1)
        there = torch.cat((state[2], x.new_ones(x.shape[0], n)), dim=1)
        lag = behind + torch.arange(n, device=x.device)[:, None] - torch.arange(behind + n, device=x.device)
        near = (lag >= 0) & (lag <= behind)
        scores = self._heads(query) @ self._heads(keys).transpose(-1, -2) / math.sqrt(x.shape[1] / self._n_heads)
        scores = scores + self.distance[:, lag.clamp(0, behind)]
        scores = scores.masked_fill(~(near & (there[:, None, None, :] > 0)), -math.inf)
        mixed = (scores.softmax(dim=-1) @ self._heads(values)).transpose(1, 2).flatten(2)
        kept = (keys[:, n:].clone(), values[:, n:].clone(), there[:, n:].clone())
        return self.merge(mixed).transpose(1, 2), kept

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self._n_heads, -1)).transpose(1, 2)


class CausalGRU(nn.Module):
    """Gated recurrent units, one direction.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    n_layers : int, default=1
        Layers.

    References
    ----------
    Cho et al. (2014), doi:10.3115/v1/D14-1179, with the reset gate of cuDNN and `torch.nn.GRU`.
    """

    n_states = 1

    def __init__(self, n_in: int, n_out: int, n_layers: int = 1) -> None:
        super().__init__()
        self.cells = nn.GRU(n_in, n_out, n_layers, batch_first=True)

    def initial(self, n_batch: int) -> State:
        """Return zeros."""
        cells = self.cells
        return (next(cells.parameters()).new_zeros(n_batch, cells.num_layers, cells.hidden_size),)

    def forward(self, x: Tensor) -> Tensor:
        """Run whole streams, (batch, n_in, time) to (batch, n_out, time)."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the next frames, (batch, n_in, n) to (batch, n_out, n)."""
        if x.shape[-1] == 0:
            return x.new_zeros(x.shape[0], self.cells.hidden_size, 0), state
        y, hidden = self.cells(x.transpose(1, 2), state[0].transpose(0, 1).contiguous())
        return y.transpose(1, 2), (hidden.transpose(0, 1).contiguous(),)


class CausalSequence(nn.Sequential):
    """Layers in a row; one without ``step`` must treat every frame by itself, as a norm in evaluation mode does."""

    @property
    def n_states(self) -> int:
        """Tensors in a state."""
        return sum(layer.n_states for layer in self if steps(layer))

    def initial(self, n_batch: int) -> State:
        """Return the states of all layers, in order."""
        return tuple(tensor for layer in self if steps(layer) for tensor in layer.initial(n_batch))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the next frames."""
        before, after = list(state), list[Tensor]()
        for layer in self:
            if steps(layer):
                x, kept = layer.step(x, tuple(before[: layer.n_states]))
                after += kept
                del before[: layer.n_states]
            elif x.shape[-1]:
                x = layer(x)
            else:  # torch convolves no empty signals
                x = layer(x.new_zeros(*x.shape[:-1], 1))[..., :0]
        return x, tuple(after)


class CausalResidual(CausalSequence):
    """Layers in a row whose output is added to their input."""

    def forward(self, x: Tensor) -> Tensor:
        """Run whole streams."""
        return x + super().forward(x)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the next frames."""
        y, after = super().step(x, state)
        return x + y, after


class ExponentialMean(nn.Module):
    """Means over the past that forget exponentially, normalised to what was seen.

    Parameters
    ----------
    n_channels : int
        Channels in; each decay gives as many out.
    decays : tuple of float
        What is left of a frame's weight one frame later, for each mean; above 0 and below 1.

    Raises
    ------
    ValueError
        If a decay is not between 0 and 1.
    """

    n_states = 2
    BLOCK = 128  # frames whose weights stand in one matrix

    def __init__(self, n_channels: int, decays: tuple[float, ...]) -> None:
        super().__init__()
        if not all(0 < decay < 1 for decay in decays):
            raise ValueError(f"Decays must be above 0 and below 1, got {', '.join(f'{d:g}' for d in decays)}.")
        self.n_channels, self.decays = n_channels, decays
        self.register_buffer("_nothing", torch.zeros(()), persistent=False)  # of the module's format and device

    def initial(self, n_batch: int) -> State:
        """Return sums over nothing, (batch, n_decays, n_channels), and their weights, (batch, n_decays)."""
        nothing, n = cast(Tensor, self._nothing), len(self.decays)
        return nothing.new_zeros(n_batch, n, self.n_channels), nothing.new_zeros(n_batch, n)

    def forward(self, x: Tensor) -> Tensor:
        """Average whole streams, (batch, n_channels, time) to (batch, n_decays * n_channels, time)."""
        return self.step(x, self.initial(x.shape[0]))[0]

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the means after each next frame, (batch, n_channels, n) to (batch, n_decays * n_channels, n)."""
        means = []
        for piece in x.split(self.BLOCK, dim=-1):
            total, weight = self._sums(piece, state)
            means.append((total / weight[:, :, None]).flatten(1, 2))
            if piece.shape[-1]:
                state = (total[..., -1].clone(), weight[..., -1].clone())
        return torch.cat(means, dim=-1), state

    def _sums(self, x: Tensor, state: State) -> State:
        """Return weighted sums and weights after each frame, (batch, n_decays, n_channels, n), (batch, n_decays, n)."""
        n = x.shape[-1]
        lag = torch.arange(n)[None, :] - torch.arange(n)[:, None]  # of a frame, seen from a later one
        decay = torch.tensor(self.decays, dtype=torch.float64)[:, None]
        table = torch.where(lag >= 0, decay[..., None] ** lag.clamp(min=0), 0.0).to(x)
        fading = (decay ** torch.arange(1, n + 1)).to(x)
        total = x[:, None] @ table + state[0][..., None] * fading[:, None, :]
        return total, table.sum(dim=1) + state[1][..., None] * fading

    def value(self, state: State) -> Tensor:
        """Return the means in a state, (batch, n_decays * n_channels); 0 before the first frame."""
        total, weight = state
        return (total / weight.clamp(min=1.0)[..., None]).flatten(1)


def steps(layer: object) -> TypeGuard[CausalLayer]:
    """Whether a layer has a state."""
    return hasattr(layer, "step")


def _newest(seen: Tensor, n: int) -> Tensor:
    """Return a copy of the last `n` frames: a view would keep all of them in memory."""
    return seen[..., seen.shape[-1] - n :].clone()
