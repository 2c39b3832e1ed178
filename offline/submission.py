"""The file that the HMS competition asks for: a distribution over six patterns for every EEG of its test part.

References
----------
Kaggle, hms-harmful-brain-activity-classification: ``eeg_id`` and six columns of votes, each row with the sum 1.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bci.bundle import Bundle
from bci.decision import softmax
from bci.errors import RecordingError, UsageError
from bci.serving import serve
from offline.blend import Blend, even
from offline.checkpoint import write_atomic
from offline.datasets.base import Session
from offline.datasets.hms import CLASSES, VOTES, load_test
from offline.ensemble import read_ensemble
from offline.training_loop import logits_of
from offline.windows import session_windows

log = logging.getLogger(__name__)


def submission(
    bundles: Sequence[str],
    folder: Path,
    out: Path,
    *,
    blend: Path | None = None,
    skip_bad: bool = False,
    on_done: Callable[[int, int], None] | None = None,
) -> int:
    """Predict the test part of an archive in the HMS layout and write the competition's table.

    Parameters
    ----------
    bundles : sequence of str
        Models of the task ``hms`` or ``icu-hms``, as directories; each sees the window on which its folds were scored:
        the first one in the 10 s that are asked for, or one around them.
    folder : Path
        Folder with ``test.csv`` and ``test_eegs``.
    out : Path
        Table to write, in one step.
    blend : Path or None, default=None
        File of `offline.ensemble.write_ensemble` whose members are the bundles, with the temperatures in it; None takes
        the plain mean, with the temperatures of the bundles.
    skip_bad : bool, default=False
        Leave EEGs out that cannot be used, instead of refusing.
    on_done : callable or None, default=None
        Called with the EEGs done and all EEGs.

    Returns
    -------
    n_rows : int
        Rows of the table, in the order of ``test.csv``.

    Raises
    ------
    UsageError
        If a bundle is for other classes or another signal, the blend has other members, or the table cannot be written.
    RecordingError
        If EEGs cannot be used and ``skip_bad`` is off.
    BundleError
        If a bundle cannot be trusted.
    """
    loaded = [serve(name, "eager").bundle for name in bundles]
    for bundle in loaded:
        if bundle.decision.classes != CLASSES:
            raise UsageError(
                f"A submission needs models of the classes {', '.join(CLASSES)}, {bundle.path} has "
                f"{', '.join(bundle.decision.classes)}. Train one for the task hms."
            )
    temperatures = tuple(bundle.decision.temperature for bundle in loaded)
    mix = even(len(loaded), len(CLASSES))
    if blend is not None:
        mix, temperatures = _blend(blend, loaded)
    dataset = load_test(folder)
    predict = [_Predictor(bundle, temperature) for bundle, temperature in zip(loaded, temperatures, strict=True)]
    for problem in dataset.problems:
        _leave_out(problem.text, skip_bad)
    lines = [",".join(("eeg_id", *VOTES))]
    for number, session in enumerate(dataset.sessions, start=1):
        try:
            (row,) = mix(np.stack([one(session) for one in predict]))
            lines.append(",".join((session.name, *(f"{p:.9f}" for p in row))))
        except RecordingError as error:
            _leave_out(str(error), skip_bad)
        if on_done is not None:
            on_done(number, len(dataset.sessions))
    if len(lines) == 1:
        raise RecordingError(
            f"A submission needs at least one EEG that can be read, got none of {len(dataset.sessions)}. Fetch them."
        )
    try:
        write_atomic(out, "\n".join(lines) + "\n")
    except OSError as error:
        raise UsageError(f"The submission needs a file that can be written, got {out} ({error.strerror}).") from error
    return len(lines) - 1


class _Predictor:
    """Gives the probabilities of a bundle for the window of a segment that folds are scored on."""

    def __init__(self, bundle: Bundle, temperature: float) -> None:
        self._bundle = bundle
        self._temperature = temperature
        self._pipeline = bundle.pipeline.build()
        self._network = bundle.network()

    def __call__(self, session: Session) -> np.ndarray:
        """Return probabilities, float64 (1, n_classes)."""
        wanted, given = self._bundle.pipeline.signal, session.signal
        if wanted != given:
            raise UsageError(
                f"A submission needs models of {given.n_channels} channels at {given.sfreq:g} Hz in {given.unit}, "
                f"{', '.join(given.names[:3])} and so on; {self._bundle.path} was trained on {wanted.n_channels} at "
                f"{wanted.sfreq:g} Hz in {wanted.unit}. Train one for the task hms."
            )
        cut = session_windows(self._pipeline, session)
        start = int(cut.first[0] if cut.scored is None else cut.scored[0])
        window = np.ascontiguousarray(cut.data[None, ..., start : start + self._pipeline.window_frames])
        return softmax(logits_of(self._network, [window]), self._temperature)


def _blend(path: Path, bundles: Sequence[Bundle]) -> tuple[Blend, tuple[float, ...]]:
    """Return the blend of a file with its weights in the order of the bundles, and their temperatures."""
    found = read_ensemble(path)
    members = [member.bundle_sha256 for member in found.members]
    given = [bundle.sha256 for bundle in bundles]
    if sorted(given) != sorted(str(member) for member in members) or found.classes != CLASSES:
        names = ", ".join(f"{member.run} ({str(member.bundle_sha256)[:12]})" for member in found.members)
        raise UsageError(
            f"The blend {path.name} needs the bundles of its runs, {names}, for the classes {', '.join(CLASSES)}; got "
            f"{', '.join(sha256[:12] for sha256 in given)} and {', '.join(found.classes)}. Name each RUN/bundle once."
        )
    order = [members.index(sha256) for sha256 in given]
    mix = Blend(tuple(found.blend.weights[i] for i in order), found.blend.bias)
    return mix, tuple(found.members[i].temperature for i in order)


def _leave_out(reason: str, skip_bad: bool) -> None:
    if not skip_bad:
        raise RecordingError(
            f"A submission needs every EEG of test.csv, one cannot be used: {reason} --skip-bad leaves such out."
        )
    log.warning("left out: %s", reason)
