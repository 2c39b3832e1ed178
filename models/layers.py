"""Layers that more than one architecture uses, and the weight constraint that training applies after each step."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FixedScale(nn.Module):
    """Read the input as ``(x - offset) / scale``: fixed numbers, so that no window's content sets its own scale.

    Parameters
    ----------
    offset, scale : float
        In the unit of the input.
    """

    def __init__(self, offset: float, scale: float) -> None:
        super().__init__()
        self.offset = offset
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Scale a tensor of any shape."""
        return (x - self.offset) / self.scale


class GeMPool(nn.Module):
    """Generalised-mean pooling over the last two axes, with a trained exponent.

    ``(mean(max(x, eps) ** p)) ** (1 / p)``: p = 1 averages, large p takes the maximum.

    Parameters
    ----------
    p : float, default=3.0
        Initial exponent. It is kept at 1 or above.
    eps : float, default=1e-3
        Floor of the input. Large enough for ``eps ** p`` to stay a normal float32 number while p < 12.

    References
    ----------
    Radenović, Tolias & Chum (2019), doi:10.1109/TPAMI.2018.2846566.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-3) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(float(p)))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Pool (batch, channels, height, width) to (batch, channels)."""
        return self.root(self.powered(x).mean(dim=(-2, -1)))

    def powered(self, x: Tensor) -> Tensor:
        """Return the terms of the mean, of any shape."""
        # exp(p log x), not x ** p: a power with a trained exponent is scalar code in ONNX Runtime
        return torch.exp(self._exponent * torch.log(x.clamp(min=self.eps)))

    def root(self, mean: Tensor) -> Tensor:
        """Return the generalised mean from the mean of the terms."""
        return torch.exp(torch.log(mean) / self._exponent)

    @property
    def _exponent(self) -> Tensor:
        return self.p.clamp(min=1.0)


class MaxNormConv2d(nn.Conv2d):
    """Convolution whose filters keep an L2 norm of at most `max_norm` once `constrain_` is called after each step."""

    def __init__(self, *args: object, max_norm: float, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.max_norm = max_norm


class MaxNormLinear(nn.Linear):
    """Linear layer whose rows keep an L2 norm of at most `max_norm` once `constrain_` is called after each step."""

    def __init__(self, in_features: int, out_features: int, *, max_norm: float) -> None:
        super().__init__(in_features, out_features)
        self.max_norm = max_norm


@torch.no_grad()
def constrain_(model: nn.Module) -> None:
    """Scale the weights of every max-norm layer back into its ball, in place.

    Training calls it after each optimiser step. For models without such layers it does nothing. Exported graphs hold
    the constrained weights and no trace of the constraint.

    Parameters
    ----------
    model : nn.Module
        Any model of the registry.
    """
    for module in model.modules():
        if isinstance(module, MaxNormConv2d | MaxNormLinear):
            module.weight.copy_(torch.renorm(module.weight, p=2, dim=0, maxnorm=module.max_norm))
