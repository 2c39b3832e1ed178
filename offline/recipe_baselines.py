"""Recipes of regressions on features of band-passed signals: what stands beside networks, in one form for all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.stages.base import StageSpec
from bci.stages.filters import FilterBank
from offline.recipe import Recipe

Bands = tuple[tuple[float, float], ...]
BALANCED: Mapping[str, Any] = {"balance": "classes"}


def on_bands(
    architecture: str,
    line: str,
    bands: Bands,
    reference_hz: float,
    before: tuple[StageSpec, ...] = (),
    training: Mapping[str, Any] = BALANCED,
) -> Recipe:
    """Return the recipe of one regression.

    Parameters
    ----------
    architecture : {"band_power", "tangent_correlation"}
        Its features.
    line : str
        What it is, in one line.
    bands : tuple of (float, float)
        Low and high corner of each band, in Hz.
    reference_hz : float
        Frequency at which delays are declared.
    before : tuple of stage specs, default=()
        Stages before the filter bank.
    training : mapping, default=BALANCED
        Whether classes count alike.
    """
    stages = (*before, FilterBank(bands))
    arguments = {"n_bands": len(bands)}
    return Recipe(architecture, line, stages, reference_hz, arguments=arguments, fit="baseline", training=training)


def band_baselines(
    bands: Bands,
    reference_hz: float,
    before: tuple[StageSpec, ...] = (),
    training: Mapping[str, Any] = BALANCED,
) -> dict[str, Recipe]:
    """Return regressions on band powers and on tangent vectors, by name; parameters as those of `on_bands`."""
    lines = {
        "band_power": "logistic regression on log powers of {} bands",
        "tangent_correlation": "logistic regression on log-Euclidean tangent vectors of correlations in {} bands",
    }
    return {
        name: on_bands(name, line.format(len(bands)), bands, reference_hz, before, training)
        for name, line in lines.items()
    }
