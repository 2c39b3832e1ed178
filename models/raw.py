"""Signals as they are, for networks that convolve over time: clipped and scaled by fixed numbers."""

from __future__ import annotations

from torch import Tensor, nn


class RawFrontEnd(nn.Module):
    """Clip to ``±limit``, divide by `scale`.

    The same as the streaming stages `bci.stages.scale.Clip` and `bci.stages.scale.Scale` in a row. Nothing is taken
    from the window itself.

    Parameters
    ----------
    limit : float, default=1024.0
        Largest amplitude, in the unit of the signals.
    scale : float, default=32.0
        Amplitude that becomes 1.

    Raises
    ------
    ValueError
        If a number is not positive.
    """

    n_features = None
    """Signals have no features: the output keeps the shape of the input."""

    def __init__(self, limit: float = 1024.0, scale: float = 32.0) -> None:
        super().__init__()
        if not (limit > 0 and scale > 0):
            raise ValueError(f"RawFrontEnd needs limit and scale above 0, got limit={limit:g}, scale={scale:g}.")
        self.limit = limit
        self.scale = scale

    def n_frames(self, n_times: int) -> int:
        """Return the number of columns of `n_times` samples: as many."""
        return n_times

    def forward(self, x: Tensor) -> Tensor:
        """Scale signals, (batch, n_channels, n_times) to the same shape."""
        return x.clamp(-self.limit, self.limit) / self.scale
