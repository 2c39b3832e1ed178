"""Wendling's neural-mass model of a cortical column, many columns at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Wendling et al. (2002), table 1; the connectivity constants are shared with Jansen & Rit (1995).
_CONNECTIVITY = 135.0
_HALF_MAXIMUM_RATE_HZ = 2.5
_FIRING_THRESHOLD_MV = 6.0
_SLOPE_PER_MV = 0.56
_RATES_PER_S = np.array([100.0, 100.0, 50.0, 500.0, 50.0])  # a, a, b, g, b

# Rows: membrane potentials of the pyramidal cells, excitatory, slow (twice: onto pyramidal cells and onto fast
# interneurons) and fast inhibitory interneurons. Columns: post-synaptic potentials y0 … y4.
_TO_POTENTIAL = np.array(
    [
        [0.0, 1.0, -1.0, -1.0, 0.0],
        [_CONNECTIVITY, 0.0, 0.0, 0.0, 0.0],
        [0.25 * _CONNECTIVITY, 0.0, 0.0, 0.0, 0.0],
        [0.3 * _CONNECTIVITY, 0.0, 0.0, 0.0, -0.1 * _CONNECTIVITY],
        [0.25 * _CONNECTIVITY, 0.0, 0.0, 0.0, 0.0],
    ]
)
_RATE_GAIN = _HALF_MAXIMUM_RATE_HZ * np.array(
    [1.0, 0.8 * _CONNECTIVITY, 0.25 * _CONNECTIVITY, 0.8 * _CONNECTIVITY, 1.0]
)


@dataclass(frozen=True, slots=True)
class Excitability:
    """Synaptic gains and speed of each population.

    Parameters
    ----------
    excitation_mv, slow_inhibition_mv, fast_inhibition_mv : ndarray, shape (n_populations,)
        Average synaptic gains A, B and G of the model, in mV.
    speed : ndarray, shape (n_populations,)
        Factor on all rate constants a, b and g at constant synaptic charge: time runs this much faster.
    """

    excitation_mv: np.ndarray
    slow_inhibition_mv: np.ndarray
    fast_inhibition_mv: np.ndarray
    speed: np.ndarray


class NeuralMass:
    """Populations of the Wendling model, integrated together.

    Every post-synaptic kernel ``h(t) = K k t exp(-k t)`` is two equal first-order lags, each advanced by its exact
    solution for an input held over one step. That is stable for any step, also for the fast interneurons
    (g = 500 per s), where Euler's method is not.

    Parameters
    ----------
    n_populations : int
        Number of populations.
    step_s : float
        Integration step, in seconds; about 2 ms.

    References
    ----------
    Wendling et al. (2002), Eur. J. Neurosci. 15, 1499–1508, doi:10.1046/j.1460-9568.2002.01985.x
    Jansen & Rit (1995), Biol. Cybern. 73, 357–366, doi:10.1007/BF00199471
    """

    def __init__(self, n_populations: int, step_s: float) -> None:
        self._step_s = step_s
        self._first = np.zeros((5, n_populations))
        self._second = np.zeros((5, n_populations))

    def run(self, drive: np.ndarray, settings: Excitability, coupling: np.ndarray | None = None) -> np.ndarray:
        """Integrate over the next steps with constant settings.

        Parameters
        ----------
        drive : ndarray, shape (n_steps, n_populations)
            Firing rate that arrives from elsewhere (p of the model), in pulses per second.
        settings : Excitability
            Gains and speed during these steps.
        coupling : ndarray, shape (n_populations, n_populations), or None
            Synaptic contacts from the pyramidal cells of population ``j`` (column) onto population ``i`` (row).

        Returns
        -------
        potential : ndarray, shape (n_steps, n_populations)
            Summed post-synaptic potential of the pyramidal cells, in mV: what the EEG sees.
        """
        rates = _RATES_PER_S[:, None] * settings.speed
        excitation = settings.excitation_mv / _RATES_PER_S[0]
        slow = settings.slow_inhibition_mv / _RATES_PER_S[2]
        fast = settings.fast_inhibition_mv / _RATES_PER_S[3]
        charge = np.stack([excitation, excitation, slow, fast, slow])
        gain = charge * (0.5 * _SLOPE_PER_MV)
        # The state holds rates minus half their maximum, so that tanh needs no offset in the loop.
        offset = _TO_POTENTIAL @ (gain * _RATE_GAIN[:, None]) - 0.5 * _SLOPE_PER_MV * _FIRING_THRESHOLD_MV
        blend = -np.expm1(-rates * self._step_s)
        rate_gain = np.repeat(_RATE_GAIN[:, None], gain.shape[1], axis=1)
        arriving = drive
        contacts = None
        if coupling is not None:
            contacts = _HALF_MAXIMUM_RATE_HZ * coupling
            arriving = drive + contacts.sum(axis=1)
        first, second = self._first, self._second
        argument = np.empty_like(first)
        scratch = np.empty_like(first)
        potential = np.empty(drive.shape)
        for k in range(drive.shape[0]):
            np.multiply(gain, second, out=scratch)
            np.matmul(_TO_POTENTIAL, scratch, out=argument)
            argument += offset
            potential[k] = argument[0]
            np.tanh(argument, out=argument)
            np.multiply(argument, rate_gain, out=scratch)
            scratch[1] += arriving[k]
            if contacts is not None:
                scratch[1] += contacts @ argument[0]
            scratch -= first
            scratch *= blend
            first += scratch
            np.subtract(first, second, out=scratch)
            scratch *= blend
            second += scratch
        return potential / (0.5 * _SLOPE_PER_MV) + _FIRING_THRESHOLD_MV
