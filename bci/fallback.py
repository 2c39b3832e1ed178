"""A decoder with a second, faster model that is ready to predict in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bci.chunk import Chunk
from bci.decision import Decision, DecisionSpec, Verdict
from bci.decoder import Decoder, Ledger, Prediction
from bci.engines.base import Engine, StatefulEngine
from bci.errors import ChannelMismatch, SpecError
from bci.matching import channel_rows
from bci.pipeline import Pipeline
from bci.timeline import part_of

NEVER = np.iinfo(np.int64).max  # windows before this sample are not computed: none is
REMEDY = "Choose another fallback, or none."


class FallbackDecoder(Decoder):
    """Decode with one model, or with the other while it falls back on it.

    Both pipelines see every sample, so that either can predict at any time; only one network runs. Predictions are
    numbered as those of the first model. There is one alarm, with the first model's thresholds and smoothing, over the
    calibrated probabilities of whichever predicts.

    Parameters
    ----------
    pipeline, engine, decision, timer
        Of the first model: see `Decoder`.
    standby : Decoder
        The second model, for nobody else. Its predictions must stand where those of the first stand.

    Attributes
    ----------
    falls_back : bool
        Whether the second model predicts, from the next chunk on.

    Raises
    ------
    SpecError
        If the second model has other classes, needs other channels, or predicts at other samples.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        engine: Engine | StatefulEngine,
        decision: DecisionSpec,
        timer: Callable[[], float] | None,
        standby: Decoder,
    ) -> None:
        self.falls_back = False
        self._standby = standby
        super().__init__(pipeline, engine, decision, timer)
        theirs = standby.decision.spec
        if theirs.classes != decision.classes:
            raise SpecError(
                f"A fallback model needs the classes {', '.join(decision.classes)}, got {', '.join(theirs.classes)}. "
                + REMEDY
            )
        try:
            rows = channel_rows(standby.signal_in, pipeline.signal_in)
        except ChannelMismatch as error:
            raise SpecError(f"A fallback model needs the channels of the first, got others: {error}") from error
        self._standby_rows = None if np.array_equal(rows, np.arange(pipeline.signal_in.n_channels)) else rows
        (first, hop), (their_first, their_hop) = _grid(self), _grid(standby)
        if their_hop != hop or their_first > first or (first - their_first) % hop:
            raise SpecError(
                f"A fallback model needs predictions at the samples of the first ({first} and every {hop} from there), "
                f"got {their_first} and every {their_hop}. " + REMEDY
            )
        self._hop_samples = hop
        standby.decision = _Lent(self.decision, theirs)

    def reset(self) -> None:
        """Forget the stream."""
        super().reset()
        self._standby.reset()

    def restart(self) -> None:
        """Take the next chunk as one after a gap."""
        super().restart()
        self._standby.restart()

    def push(self, chunk: Chunk, since: int = 0) -> list[Prediction]:
        """Take the next chunk and return the predictions that it completes; see `Decoder.push`."""
        predictions = []
        for start in range(0, chunk.n_samples, self._hop_samples):  # pieces with one prediction at most
            piece = part_of(chunk, start, min(start + self._hop_samples, chunk.n_samples))
            predictions += self._push(piece, since)
        return predictions

    def _push(self, chunk: Chunk, since: int) -> list[Prediction]:
        rows = self._standby_rows
        theirs = chunk if rows is None else replace(chunk, data=chunk.data[rows])
        if not self.falls_back:
            predictions = super().push(chunk, since)
            self._standby.push(theirs, NEVER)
            return predictions
        n_before = self.n_predictions
        super().push(chunk, NEVER)
        found = self._standby.push(theirs, since)
        if self.n_predictions == n_before or not found:  # their window may be shorter: the first ones come too early
            return []
        self.n_skipped -= 1
        return [self._as_ours(found[0])]

    def _as_ours(self, prediction: Prediction) -> Prediction:
        """Return a prediction of the second model with our number, and our share of the time."""
        stage_s, ledger = self.pipeline.stage_s, prediction.ledger
        return replace(
            prediction,
            index=self.n_predictions - 1,
            ledger=Ledger(
                ledger.filter_s + float(stage_s[: self._n_filters].sum()),
                ledger.features_s + float(stage_s[self._n_filters :].sum()),
                ledger.engine_s,
                ledger.decision_s,
            ),
        )

    def prepare(self) -> None:
        """Compute what of the next prediction can be known already."""
        if self.falls_back:
            self._standby.prepare()
        else:
            super().prepare()

    def rehearse(self) -> None:
        """Run once through the next prediction."""
        if self.falls_back:
            self._standby.rehearse()
        else:
            super().rehearse()

    def keep_warm(self) -> None:
        """Keep the devices of both engines fast: either may predict next."""
        super().keep_warm()
        self._standby.keep_warm()


class _Lent(Decision):
    """The decision of the first model, for logits of the second."""

    def __init__(self, lender: Decision, spec: DecisionSpec) -> None:
        self.spec, self.hop_s = spec, lender.hop_s
        self._lender = lender
        self._scale = lender.spec.temperature / spec.temperature

    def reset(self) -> None:
        """Do nothing: the lender does."""

    def restart(self) -> None:
        """Do nothing: the lender does."""

    def step(
        self,
        logits: np.ndarray,
        quality: float,
        settled: bool,
        at_s: float | None = None,
        probabilities: np.ndarray | None = None,
    ) -> Verdict:
        """Take the next prediction, calibrated with the temperature of the second model."""
        return self._lender.step(np.asarray(logits) * self._scale, quality, settled, at_s, probabilities)


def _grid(decoder: Decoder) -> tuple[int, int]:
    """Return the last sample of the first prediction of a new decoder, and the samples from one to the next."""
    return decoder.n_missing - 1, round(decoder.decision.hop_s * decoder.signal_in.sfreq)
