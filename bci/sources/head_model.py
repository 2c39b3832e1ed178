"""Scalp potential of current dipoles in a four-shell sphere, on the 10–20 system."""

from __future__ import annotations

import numpy as np

# Brain, cerebrospinal fluid, skull, scalp: outer radii relative to the head, and conductivities in S/m. The same
# as MNE's default sphere, so the two can be compared.
HEAD_RADIUS_M = 0.09
SHELL_RADII = (0.90, 0.92, 0.97, 1.0)
SHELL_CONDUCTIVITIES = (0.33, 1.0, 0.004, 0.33)

CHANNELS = (
    "Fp1", "F3", "C3", "P3", "O1", "F7", "T3", "T5", "Fz", "Cz",
    "Pz", "Fp2", "F4", "C4", "P4", "O2", "F8", "T4", "T6",
)  # fmt: skip

# Angle from the vertex and azimuth from the nose (left is positive), in degrees: 10 % of an arc is 18°.
_POLAR_AZIMUTH = {
    "Fp1": (72, 18), "F7": (72, 54), "T3": (72, 90), "T5": (72, 126), "O1": (72, 162),
    "Fp2": (72, -18), "F8": (72, -54), "T4": (72, -90), "T6": (72, -126), "O2": (72, -162),
    "Fz": (36, 0), "Cz": (0, 0), "Pz": (36, 180), "C3": (36, 90), "C4": (36, -90),
}  # fmt: skip
_MIDWAY = {"F3": ("Fz", "F7"), "F4": ("Fz", "F8"), "P3": ("Pz", "T5"), "P4": ("Pz", "T6")}


def electrode_directions() -> np.ndarray:
    """Return the unit vectors of the electrodes on the spherical 10–20 system.

    Returns
    -------
    directions : ndarray, shape (19, 3)
        In the order of `CHANNELS`; x points right, y to the nose, z to the vertex.
    """
    known = {}
    for name, (polar, azimuth) in _POLAR_AZIMUTH.items():
        theta, phi = np.deg2rad(polar), np.deg2rad(azimuth)
        known[name] = np.array([-np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi), np.cos(theta)])
    for name, (one, other) in _MIDWAY.items():
        middle = known[one] + known[other]
        known[name] = middle / np.linalg.norm(middle)
    return np.stack([known[name] for name in CHANNELS])


def _surface_gains(n_orders: int) -> np.ndarray:
    """Return how much of each order of a source in the innermost shell reaches the scalp, relative to its field."""
    orders = np.arange(1, n_orders + 1)
    # Each shell holds a r^n + b r^-(n+1). Start at the scalp, where no current leaves, and step inwards.
    a = np.ones(n_orders)
    b = orders / (orders + 1.0)
    for k in range(len(SHELL_RADII) - 2, -1, -1):
        r = SHELL_RADII[k]
        ratio = SHELL_CONDUCTIVITIES[k + 1] / SHELL_CONDUCTIVITIES[k]
        power = r ** (2.0 * orders + 1.0)
        potential = a * power + b
        current = ratio * (orders * a * power - (orders + 1) * b)
        a = ((orders + 1) * potential + current) / ((2 * orders + 1) * power)
        b = (orders * potential - current) / (2 * orders + 1)
    return (2 * orders + 1) / (orders + 1.0) / b


def lead_field(
    electrodes: np.ndarray, positions: np.ndarray, orientations: np.ndarray, n_orders: int = 80
) -> np.ndarray:
    """Return the potential at each electrode for a unit dipole at each position.

    The series in Legendre polynomials for concentric shells, with the boundary conditions solved shell by shell. The
    reference is the mean over the sphere (zero at infinity).

    Parameters
    ----------
    electrodes : ndarray, shape (n_electrodes, 3)
        Unit vectors.
    positions : ndarray, shape (n_dipoles, 3)
        Dipole positions relative to the head radius; inside the brain, length below 0.9, not zero.
    orientations : ndarray, shape (n_dipoles, 3)
        Unit vectors of the dipole moments.
    n_orders : int, default=80
        Terms of the series; at a depth of 0.85 the last is below 1e-4 of the sum.

    Returns
    -------
    gains : ndarray, shape (n_electrodes, n_dipoles)
        Potential per moment, in µV/nAm.

    References
    ----------
    de Munck (1988), J. Appl. Phys. 64, 464–470, doi:10.1063/1.341983
    Zhang (1995), Phys. Med. Biol. 40, 335–349, doi:10.1088/0031-9155/40/3/001
    """
    eccentricity = np.linalg.norm(positions, axis=1)
    radial = positions / eccentricity[:, None]
    cosine = np.clip(electrodes @ radial.T, -1.0, 1.0)
    along = np.sum(radial * orientations, axis=1)
    across = electrodes @ (orientations - along[:, None] * radial).T  # tangential moment times sin γ cos β
    gains = _surface_gains(n_orders)
    total = np.zeros_like(cosine)
    before, legendre = np.ones_like(cosine), cosine  # P0, P1
    slope_before, slope = np.zeros_like(cosine), np.ones_like(cosine)  # and their derivatives
    for n in range(1, n_orders + 1):
        weight = gains[n - 1] * eccentricity ** (n - 1)
        total += weight * (n * along * legendre + across * slope)
        after = ((2 * n + 1) * cosine * legendre - n * before) / (n + 1)
        slope_after = slope_before + (2 * n + 1) * legendre
        before, legendre, slope_before, slope = legendre, after, slope, slope_after
    microvolt_per_nanoampere_metre = 1e-3
    return microvolt_per_nanoampere_metre * total / (4 * np.pi * SHELL_CONDUCTIVITIES[0] * HEAD_RADIUS_M**2)


def cortex_directions(n_patches: int, lowest_deg: float = 105.0) -> np.ndarray:
    """Return directions that cover the upper head evenly (a Fibonacci lattice).

    Parameters
    ----------
    n_patches : int
        Number of directions.
    lowest_deg : float, default=105.0
        Largest angle from the vertex.

    Returns
    -------
    directions : ndarray, shape (n_patches, 3)
        Unit vectors, from the vertex downwards.
    """
    index = np.arange(n_patches)
    z = 1.0 - (1.0 - np.cos(np.deg2rad(lowest_deg))) * (index + 0.5) / n_patches
    azimuth = index * np.pi * (3.0 - np.sqrt(5.0))
    ring = np.sqrt(1.0 - z**2)
    return np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1)
