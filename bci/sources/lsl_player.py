"""Players that publish over LSL: of a recording, and of a simulated patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pylsl

from bci.sources.fault_plan import FaultPlan
from bci.sources.faulty_outlets import FaultLog, FaultSettings, FaultyOutlets, described
from bci.sources.lsl_outlets import LslOutlets
from bci.sources.player import Feed, Player, PlayerSettings

if TYPE_CHECKING:
    from bci.sources.adapted import AdaptedRecording
    from bci.sources.recording import Recording  # mne, which a simulation does not need


def recording_player(
    recording: Recording | AdaptedRecording,
    name: str,
    settings: PlayerSettings,
    faults: FaultSettings | None = None,
) -> Player:
    """Return a player of a recording; its streams are on the network from now on.

    Parameters
    ----------
    recording : Recording
        What to play.
    name : str
        Name of the stream.
    settings : PlayerSettings
        How to play.
    faults : FaultSettings or None, default=None
        What goes wrong on the way.

    Returns
    -------
    player : Player
        Call ``run`` to play.

    Raises
    ------
    SpecError
        If the recording does not have the stretch asked for, or a fault cannot happen in it.
    """
    return lsl_player(recording, name, recording.fingerprint(), recording.path.name, settings, faults)


def lsl_player(
    feed: Feed,
    name: str,
    identity: str,
    file: str,
    settings: PlayerSettings,
    faults: FaultSettings | None = None,
) -> Player:
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
    faults : FaultSettings or None, default=None
        What goes wrong on the way.

    Returns
    -------
    player : Player

    Raises
    ------
    SpecError
        If the feed does not have the stretch asked for, or a fault cannot happen in it.
    """
    start, stop = settings.stretch(feed)
    source_id = "bci-" + hashlib.sha256(f"{name}:{identity}".encode()).hexdigest()[:16]
    first = _first_recorded(feed, start)
    if faults is None or not faults.faults:
        places = getattr(feed, "positions_mm", None)  # a recording may know them, a simulation does not
        outlets = LslOutlets(feed, name, source_id, file, settings.speed, stop - start, first, places)
        return Player(feed, outlets, settings, clock=pylsl.local_clock)
    plan = FaultPlan(faults.faults, feed.signal, faults.seed, None if settings.loop else stop - start)
    speed, n_samples = settings.speed, stop - start if plan.exact else None
    own_id = "" if plan.anonymous else source_id

    def open_outlets(changes: Sequence[str]) -> LslOutlets:
        changed_id = f"{own_id}-restarted" if "id" in changes else own_id
        return LslOutlets(described(feed, changes), name, changed_id, file, speed, n_samples, first)

    log = FaultLog(faults.log, {"kind": "replay", "name": name, "sfreq": feed.signal.sfreq, "speed": speed})
    return Player(feed, FaultyOutlets(plan, open_outlets, log), settings, clock=pylsl.local_clock, drift=plan.drift)


def _first_recorded(feed: Feed, start: int) -> int:
    """Return the first sample from `start` on that does not lie in a gap, which is not sent."""
    first = start
    for gap_start, gap_stop in feed.gaps:
        if gap_start <= first < gap_stop:
            first = gap_stop
    return first
