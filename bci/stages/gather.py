"""Features that arrive as channels: spectra or images that somebody else makes, column by column."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import Stage


@dataclass(frozen=True, slots=True)
class GatherFeatures:
    """Make the channels ``C3:0``, ``C3:1``, … the features of one channel ``C3``, in their order.

    What stands before the last separator names the channel; a name without one is a channel of one feature.

    Parameters
    ----------
    separator : str, default=":"
        What stands between the two.
    """

    kind: ClassVar[str] = "gather_features"
    separator: str = ":"

    def build(self, signal: Signal) -> GatherStage:
        """Return the running stage for `signal`.

        Raises
        ------
        SpecError
            If it has features already, or its channels would have different numbers of them.
        """
        if signal.n_features is not None:
            raise SpecError(
                f"GatherFeatures needs a plain signal, got frames of {signal.n_features} features. Leave it out."
            )
        if not self.separator:
            raise SpecError("GatherFeatures needs a separator of at least one character, got ''. Use ':'.")
        owners = [name.rpartition(self.separator)[0] or name for name in signal.names]
        counts = Counter(owners)
        if len(set(counts.values())) > 1:
            few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            raise SpecError(
                f"GatherFeatures needs as many features of each channel, got {counts[few]} of {few} and "
                f"{counts[many]} of {many}. Name channels as in C3:0, C3:1."
            )
        rows = np.array([[i for i, owner in enumerate(owners) if owner == name] for name in counts])
        return GatherStage(signal, replace(signal, names=tuple(counts), n_features=rows.shape[1]), rows)


class GatherStage(Stage):
    """Rows of the input, as rows of channels."""

    def __init__(self, signal_in: Signal, signal_out: Signal, rows: np.ndarray) -> None:
        super().__init__(signal_in, signal_out)
        self._rows = rows

    def _process(self, x: np.ndarray) -> np.ndarray:
        return x[self._rows]
