"""The simulated patient as a live LSL stream, with its seizures as annotations."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.sources.base import Annotation
from bci.sources.lsl_player import lsl_player
from bci.sources.player import Player, PlayerSettings
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient

SEIZURE = "seizure"
"""Description of the annotation of a seizure; its duration is the seizure's."""


class PatientFeed:
    """A simulated patient as something that a player plays, once and from its start.

    Parameters
    ----------
    spec : PatientSpec
        The patient.
    """

    seekable = False
    gaps: tuple[tuple[int, int], ...] = ()

    def __init__(self, spec: PatientSpec):
        self._patient = SimulatedPatient(spec)
        self._next = 0
        self.signal: Signal = self._patient.signal
        self.n_samples = self._patient.n_samples
        self.types = ("eeg",) * self.signal.n_channels
        self.units = ("uV",) * self.signal.n_channels
        self.annotations = tuple(Annotation(s.onset_s, s.duration_s, SEIZURE) for s in self._patient.seizures)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the next samples.

        Parameters
        ----------
        start, stop : int
            `start` must be where the last call stopped.

        Returns
        -------
        data : ndarray of float32, shape (19, stop - start)

        Raises
        ------
        SpecError
            If samples are asked for out of order.
        """
        if start != self._next:
            raise SpecError(
                f"A simulated patient is read in order: sample {self._next} is next, got {start}. "
                "Write it to a file to read it in any order."
            )
        self._next = stop
        return self._patient.read(stop - start)


def patient_player(spec: PatientSpec, name: str, settings: PlayerSettings) -> Player:
    """Return a player of a simulated patient; its streams are on the network from now on.

    Parameters
    ----------
    spec : PatientSpec
        The patient; ``spec.duration_s`` is the length of the stream.
    name : str
        Name of the stream; seizures come on ``NAME-annotations``.
    settings : PlayerSettings
        How to play; a simulation has no loop and no start.

    Returns
    -------
    player : Player
        Call ``run`` to play. ``player.feed.annotations`` are the seizures.
    """
    return lsl_player(PatientFeed(spec), name, repr(spec), f"simulated patient {spec.seed}", settings)
