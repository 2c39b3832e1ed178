"""A recording as a bundle wants it, if the user asks for that."""

from __future__ import annotations

from bci.bundle import find_bundle, load_bundle
from bci.sources.adapted import AdaptedRecording
from bci.sources.recording import Recording


def adapted(recording: Recording, bundle: str | None) -> Recording | AdaptedRecording:
    """Return the recording itself, or brought to the channels and the rate of a bundle.

    Parameters
    ----------
    recording : Recording
        Open recording.
    bundle : str or None
        Directory or name of a bundle; None changes nothing.

    Returns
    -------
    recording : Recording or AdaptedRecording
    """
    if bundle is None:
        return recording
    return AdaptedRecording(recording, load_bundle(find_bundle(bundle)).pipeline.signal)
