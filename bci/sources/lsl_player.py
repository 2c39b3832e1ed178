"""Players that publish over LSL: of a recording, and of a simulated patient."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pylsl

from bci.sources.lsl_outlets import LslOutlets
from bci.sources.player import Feed, Player, PlayerSettings

if TYPE_CHECKING:
    from bci.sources.adapted import AdaptedRecording
    from bci.sources.recording import Recording  # mne, which a simulation does not need


def recording_player(recording: Recording | AdaptedRecording, name: str, settings: PlayerSettings) -> Player:
    """Return a player of a recording; its streams are on the network from now on.

    Parameters
    ----------
    recording : Recording
        What to play.
    name : str
        Name of the stream.
    settings : PlayerSettings
        How to play.

    Returns
    -------
    player : Player
        Call ``run`` to play.

    Raises
    ------
    SpecError
        If the recording does not have the stretch asked for.
    """
    return lsl_player(recording, name, recording.fingerprint(), recording.path.name, settings)


def lsl_player(feed: Feed, name: str, identity: str, file: str, settings: PlayerSettings) -> Player:
    """Return a player of any feed over LSL.

    Parameters
    ----------
    feed : Feed
        What to play.
    name : str
        Name of the stream.
    identity : str
        Equal for equal contents; with the name it makes the ``source_id``.
    file : str
        Stands in ``desc/replay/file``.
    settings : PlayerSettings
        How to play.

    Returns
    -------
    player : Player

    Raises
    ------
    SpecError
        If the feed does not have the stretch asked for.
    """
    start, stop = settings.stretch(feed)
    source_id = "bci-" + hashlib.sha256(f"{name}:{identity}".encode()).hexdigest()[:16]
    outlets = LslOutlets(feed, name, source_id, file, settings.speed, stop - start, _first_recorded(feed, start))
    return Player(feed, outlets, settings, clock=pylsl.local_clock)


def _first_recorded(feed: Feed, start: int) -> int:
    """Return the first sample from `start` on that does not lie in a gap, which is not sent."""
    first = start
    for gap_start, gap_stop in feed.gaps:
        if gap_start <= first < gap_stop:
            first = gap_stop
    return first
