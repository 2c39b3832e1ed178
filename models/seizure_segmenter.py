"""A segmenter that judges every sample of a window: convolutional encoder, transformer, decoder with bridges."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attention import Encoder
from models.raw import RawFrontEnd


class SeizureSegmenter(nn.Module):
    """Convolutions that halve the rate, a transformer at the lowest, convolutions that double it again.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window.
    sfreq : float
        Sampling rate, in Hz.
    n_classes : int
        Number of logits.
    widths : tuple of int
        Channels of each convolution of the encoder; each is followed by a halving of the rate.
    kernels : tuple of int
        Their lengths, in samples at their own rate; odd.
    n_heads, n_layers : int
        Of the transformer.
    judged_s : float, default=1.0
        Seconds at the end of a window whose samples are averaged for the class of the window.
    dropout : float, default=0.1
        In the transformer and before the classifier.
    limit_uv, scale_uv : float, default=1024.0, 32.0
        The input is clipped and divided, see `models.raw.RawFrontEnd`.

    Raises
    ------
    ValueError
        If `widths` and `kernels` differ in length or the window is shorter than the halvings.

    Notes
    -----
    Within a window, a sample is judged with what comes after it: live, only the end of a window is new, and what
    `forward` returns is its judgement. `models.causal_segmenter` has no window.

    References
    ----------
    Wu et al. (2025), arXiv:2504.00336 (SeizureTransformer), with an eighth of its width, without its residual stack,
    and scaled by a fixed number instead of each recording's own deviation.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        sfreq: float,
        n_classes: int,
        widths: tuple[int, ...],
        kernels: tuple[int, ...],
        n_heads: int,
        n_layers: int,
        judged_s: float = 1.0,
        dropout: float = 0.1,
        limit_uv: float = 1024.0,
        scale_uv: float = 32.0,
    ) -> None:
        super().__init__()
        stride = 2 ** len(widths)
        if len(widths) != len(kernels) or n_times < stride:
            raise ValueError(
                f"A segmenter needs a kernel for each width and windows of at least {stride} samples, got "
                f"widths={widths}, kernels={kernels}, n_times={n_times}. Use fewer widths or a longer window."
            )
        self.input_shape = (n_channels, n_times)
        self.n_judged = min(n_times, max(1, round(judged_s * sfreq)))
        n_tokens = math.ceil(n_times / stride)
        self._padding = n_tokens * stride - n_times
        self.front_end = RawFrontEnd(limit_uv, scale_uv)
        sides = (n_channels, *widths)
        self.down = nn.ModuleList(
            _conv(n_in, n_out, kernel) for n_in, n_out, kernel in zip(sides, widths, kernels, strict=False)
        )
        self.halve = nn.MaxPool1d(2)
        self.encoder = Encoder(n_tokens, widths[-1], n_heads, n_layers, dropout=dropout)
        upward = (widths[-1], *widths[::-1])
        self.up = nn.ModuleList(
            _conv(n_in + bridge, bridge, kernel)
            for n_in, bridge, kernel in zip(upward, widths[::-1], kernels[::-1], strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(widths[0], n_classes, 1)

    def segment(self, x: Tensor) -> Tensor:
        """Judge every sample.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, in µV.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes, n_times)
        """
        x = functional.pad(self.front_end(x), (self._padding, 0))
        bridges = []
        for layer in self.down:
            bridges.append(layer(x))
            x = self.halve(bridges[-1])
        x = self.encoder(x.transpose(1, 2)).transpose(1, 2)
        for layer, bridge in zip(self.up, reversed(bridges), strict=True):
            x = layer(torch.cat((_doubled(x), bridge), dim=1))
        return self.head(self.dropout(x))[..., self._padding :]

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows by the mean over their last samples.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, in µV.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.segment(x)[..., -self.n_judged :].mean(dim=-1)


def seizure_segmenter(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    widths: tuple[int, ...] = (16, 24, 32, 48, 64),
    kernels: tuple[int, ...] = (11, 9, 7, 7, 5),
    n_heads: int = 4,
    n_layers: int = 2,
    judged_s: float = 1.0,
    dropout: float = 0.1,
    limit_uv: float = 1024.0,
    scale_uv: float = 32.0,
) -> nn.Module:
    """Build the small segmenter, which reads signals in µV.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 220,004 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes
        See `SeizureSegmenter`.
    widths, kernels, n_heads, n_layers, judged_s, dropout, limit_uv, scale_uv
        See `SeizureSegmenter`.
    """
    return SeizureSegmenter(
        n_channels, n_times, sfreq, n_classes, widths, kernels, n_heads, n_layers, judged_s, dropout, limit_uv, scale_uv
    )


def _conv(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm1d(n_out), nn.SiLU()
    )


def _doubled(x: Tensor) -> Tensor:
    """Return every column twice."""
    return x[..., None].expand(-1, -1, -1, 2).flatten(-2)
