"""Self-attention over the tokens of a window, and the encoder that transformers share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Multi-head self-attention, every token to every token.

    Parameters
    ----------
    width : int
        Channels of a token; a multiple of `n_heads`.
    n_heads : int
        Heads.

    Attributes
    ----------
    softmax : nn.Module
        Its output is the attention, shape (batch, n_heads, n_tokens, n_tokens): a forward hook reads it.

    Raises
    ------
    ValueError
        If the channels cannot be divided among the heads.

    Notes
    -----
    Written out, not fused: attention roll-out needs the weights, and with some hundred tokens nothing is gained.
    Queries and keys have no constant: that of a key changes nothing, since the softmax takes it away.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1 or width % n_heads:
            raise ValueError(
                f"Attention needs a width that n_heads divides, got width={width}, n_heads={n_heads}. "
                "Change one of them."
            )
        self.n_heads = n_heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.merge = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend.

        Parameters
        ----------
        x : Tensor, shape (batch, n_tokens, width)
            Tokens.
        bias : Tensor or None, default=None
            Added to the scores; shape that broadcasts to (batch, n_heads, n_tokens, n_tokens).

        Returns
        -------
        y : Tensor, shape (batch, n_tokens, width)
        """
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.split(x))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if bias is not None:
            scores = scores + bias
        return self.merge((self.softmax(scores) @ value).transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values, each of the shape of `x`."""
        return self.project(x).chunk(3, dim=-1)


class EncoderBlock(nn.Module):
    """Attention and a perceptron for each token, both with norm before and residual around.

    Parameters
    ----------
    width, n_heads : int
        See `SelfAttention`.
    expansion : int, default=2
        Width of the perceptron's hidden layer, in multiples of `width`.
    dropout : float, default=0.0
        After the attention and after the perceptron.

    References
    ----------
    Xiong et al. (2020), arXiv:2002.04745, on where the norms stand.
    """

    def __init__(self, width: int, n_heads: int, expansion: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, n_heads)
        self.norm_2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """Encode tokens, (batch, n_tokens, width) to the same shape; `bias` as in `SelfAttention`."""
        x = x + self.dropout(self.attention(self.norm_1(x), bias))
        return x + self.dropout(self.perceptron(self.norm_2(x)))


class Encoder(nn.Module):
    """Learnt positions, blocks in a row, and a last norm.

    Parameters
    ----------
    n_tokens : int
        Tokens of a window.
    width, n_heads : int
        See `SelfAttention`.
    n_layers : int
        Blocks.
    expansion : int, default=2
        See `EncoderBlock`.
    dropout : float, default=0.0
        On the tokens with their positions, and in every block.
    """

    def __init__(
        self, n_tokens: int, width: int, n_heads: int, n_layers: int, expansion: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(n_tokens, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(EncoderBlock(width, n_heads, expansion, dropout) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Encode tokens, (batch, n_tokens, width) to the same shape."""
        return self.norm(self.blocks(self.dropout(x + self.positions)))
