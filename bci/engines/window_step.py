"""From a window to logits and probabilities in one module: what the graph of a GPU holds between its copies."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WindowStep(nn.Module):
    """Spectrum, network, and the softmax with its temperature.

    Parameters
    ----------
    network : Module
        Takes columns in the precision of its parameters: PyTorch's kernels, or what a compiler made of them.
    dtype : torch.dtype
        That precision.
    spectrum : Module or None, default=None
        Makes columns of windows of the signal, in its own precision, such as `models.logmel.LogMelFrontEnd`: transforms
        stay out of what a compiler makes, but inside the graph. None: windows are columns already.
    temperature : float, default=1.0
        Divides the logits before the softmax.
    """

    def __init__(
        self, network: nn.Module, dtype: torch.dtype, spectrum: nn.Module | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.network, self.spectrum, self.dtype, self.temperature = network, spectrum, dtype, temperature

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a batch.

        Parameters
        ----------
        x : Tensor of float32, shape (n_windows, n_channels, n_samples) or (n_windows, *column_shape, n_columns)
            Windows of the signal, without a spectrum of columns.

        Returns
        -------
        logits : Tensor of float32, shape (n_windows, n_classes)
        probabilities : Tensor of float64, shape (n_windows, n_classes)
        """
        if self.spectrum is not None:
            x = self.spectrum(x)
        logits = self.network(x.to(self.dtype)).float()
        return logits, calibrated(logits, self.temperature)


class RingStep(nn.Module):
    """A step on the one window that stands in a ring, turned so that its oldest column comes first.

    The turn is made where the step runs: the ring is copied there as it lies, in one piece.

    Parameters
    ----------
    step : Module
        Takes windows; see `WindowStep`.
    n_columns : int
        Columns of the ring, all of them the window.
    device : str, default="cpu"
        Where the step is; it is not moved: a compiled one cannot be.
    """

    order: Tensor

    def __init__(self, step: nn.Module, n_columns: int, device: str = "cpu") -> None:
        super().__init__()
        self.step = step
        self.register_buffer("order", torch.arange(n_columns, device=device), persistent=False)

    def forward(self, ring: Tensor, oldest: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the window.

        Parameters
        ----------
        ring : Tensor of float32, shape (*column_shape, n_columns)
        oldest : Tensor of int64, shape (1,)
            Where its oldest column stands.

        Returns
        -------
        logits, probabilities : Tensor, shape (1, n_classes)
        """
        turned = ring.index_select(-1, (self.order + oldest) % self.order.numel())
        return self.step(turned[None])


def calibrated(logits: Tensor, temperature: float) -> Tensor:
    """Return what `bci.decision.softmax` does: float64, NaN in rows with a value that is not finite."""
    scaled = logits.double() / temperature
    return scaled.masked_fill(~scaled.isfinite().all(dim=-1, keepdim=True), torch.nan).softmax(dim=-1)
