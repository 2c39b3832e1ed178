"""Electrode montages, as data."""

from __future__ import annotations

TEN_TWENTY_19: tuple[str, ...] = (
    "Fp1", "F3", "C3", "P3", "O1", "F7", "T3", "T5", "Fz", "Cz", "Pz",
    "Fp2", "F4", "C4", "P4", "O2", "F8", "T4", "T6",
)  # fmt: skip
"""The 19 electrodes of the 10-20 system in the order of SzCORE (https://doi.org/10.1111/epi.18113)."""

DOUBLE_BANANA: tuple[tuple[str, str], ...] = (
    ("Fp1", "F7"), ("F7", "T3"), ("T3", "T5"), ("T5", "O1"),
    ("Fp2", "F8"), ("F8", "T4"), ("T4", "T6"), ("T6", "O2"),
    ("Fp1", "F3"), ("F3", "C3"), ("C3", "P3"), ("P3", "O1"),
    ("Fp2", "F4"), ("F4", "C4"), ("C4", "P4"), ("P4", "O2"),
    ("Fz", "Cz"), ("Cz", "Pz"),
)  # fmt: skip
"""Longitudinal bipolar montage of the ACNS guideline 3 (https://doi.org/10.1097/WNP.0000000000000317)."""

MONTAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "double_banana": DOUBLE_BANANA,
    "double_banana_16": DOUBLE_BANANA[:16],
}
"""Bipolar montages by name: pairs (anode, cathode)."""
