"""Every model sees the same stretch of raw signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import UsageError
from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19
from bci.stages.scale import RobustScale
from models.registry import ModelSpec, build
from offline.datasets.hms import NAMES as HMS
from offline.datasets.registry import EXAMPLES, TASKS
from offline.datasets.seizure_segments import NAMES as SEGMENTS
from offline.recipes import RECIPES, STRONG_BASELINES, recipe

SIGNAL = Signal(256.0, ("Oz", "O1"))
EPOC = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
FITTED = RobustScale((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("window_s", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("model", RECIPES["ssvep"])
def test_a_window_sees_no_more_than_it_says(model, window_s):
    """And not much less: one column more would see too much."""
    spec = recipe("ssvep", model).pipeline(SIGNAL, window_s, 0.25)
    stages = tuple(FITTED if isinstance(stage, RobustScale) else stage for stage in spec.stages)
    pipeline = replace(spec, stages=stages).build()
    n = pipeline.window_frames
    last, following = pipeline.last_input(np.array([n - 1, n]))
    assert last < window_s * 256 <= following


def test_a_window_shorter_than_a_frame_is_refused():
    with pytest.raises(UsageError, match=r"--window-s must be at least 1 s for this model, got 0\.5"):
        recipe("ssvep", "mel_cnn").pipeline(SIGNAL, 0.5, 0.25)


BANANA = Signal(256.0, tuple(f"{anode}-{cathode}" for anode, cathode in DOUBLE_BANANA))
ELECTRODES = Signal(256.0, TEN_TWENTY_19)
SIGNALS = {
    "ssvep": SIGNAL,
    "seizure-sim": ELECTRODES,
    "epoc-epilepsy": Signal(128.0, EPOC),
    "ecog-seizures": Signal(400.0, ("E01", "E02", "E03")),
    **dict.fromkeys(("hms", "icu-hms"), Signal(200.0, HMS)),
    "seizure-segments": Signal(256.0, SEGMENTS),
    **dict.fromkeys(("siena", "tusz", "bids-eeg"), ELECTRODES),
    **dict.fromkeys(("chb-mit", "siena-banana", "tusz-banana", "bids-eeg-banana"), BANANA),
}
"""What each archive gives."""


def test_every_task_has_a_recipe():
    """A row of the registry that nothing can be trained on is only registered."""
    assert set(SIGNALS) == set(TASKS)
    assert [task for task in TASKS | EXAMPLES if not RECIPES.get(task)] == []


@pytest.mark.parametrize("task", [task for task in TASKS if task != "seizure-sim"])
def test_signals_have_closed_baselines_on_powers_and_on_tangent_vectors(task):
    """Simulated seizures have theirs in `offline.seizure_comparison`."""
    closed = {plan.architecture for plan in RECIPES[task].values() if plan.fit == "baseline"}
    assert "band_power" in closed
    assert closed & {"tangent_correlation", "tangent_cca"}


@pytest.mark.parametrize("task", STRONG_BASELINES)
def test_strong_baselines_have_a_closed_fit(task):
    assert STRONG_BASELINES[task]
    assert all(RECIPES[task][name].fit == "baseline" for name in STRONG_BASELINES[task])


def test_every_task_has_baselines_beside_its_networks():
    """Simulated seizures have theirs in `offline.seizure_comparison`."""
    assert {*TASKS, *EXAMPLES} - set(STRONG_BASELINES) == {"seizure-sim"}


def test_every_seizure_corpus_has_a_baseline_and_networks_with_state():
    for task, row in TASKS.items():
        if row.module in ("offline.datasets.chbmit", "offline.datasets.siena", "offline.datasets.tusz"):
            models = RECIPES[task]
            assert {"band_power", "mel_cnn", "mel_tcn", "causal_segmenter", "eegnet", "transformer"} <= set(models)
            assert {name for name, plan in models.items() if plan.fit == "baseline"} == {
                "band_power",
                "spectrum_blocks",
                "tangent_correlation",
            }


@pytest.mark.parametrize("task", TASKS)
def test_recipes_of_archives_build_a_network_on_their_pipeline(task):
    """The same table for two tasks is built once for each form of its signals."""
    signal = SIGNALS[task]
    same = [other for other in TASKS if SIGNALS[other] == signal and RECIPES[other] is RECIPES[task]]
    assert RECIPES[task]
    if same[0] != task:
        return
    for name, plan in RECIPES[task].items():
        if plan.architecture == "timm_backbone":  # needs a package of its own; a stand-in serves in its own tests
            continue
        spec = plan.pipeline(signal, TASKS[task].settings.get("window_s", 8.0), 1.0)
        fitted = RobustScale((0.0,) * signal.n_channels, (1.0,) * signal.n_channels)
        pipeline = replace(spec, stages=tuple(fitted if isinstance(s, RobustScale) else s for s in spec.stages)).build()
        out = pipeline.signal_out
        shape = {"n_channels": out.n_channels, "n_times": pipeline.window_frames, "sfreq": out.sfreq, "n_classes": 2}
        shape |= {"n_features": out.n_features} if out.n_features else {}
        network = build(ModelSpec(plan.architecture, shape | dict(plan.arguments)))
        assert tuple(network.input_shape[1:]) == (*out.shape[1:], pipeline.window_frames), name
