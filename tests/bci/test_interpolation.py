"""Spherical splines and the places of electrodes, against MNE."""

import mne
import numpy as np
import pytest

from bci.chunk import Signal
from bci.sources.head_model import CHANNELS, electrode_directions
from bci.stages.electrodes import electrode_positions, plain_name
from bci.stages.interpolation import spline_weights
from bci.stages.montages import TEN_TWENTY_19
from bci.stages.quality import InterpolateBad
from tests.bci.test_quality import brain

TEN_TEN = (
    "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8",
    "FT7", "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8",
    "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8",
    "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2",
)  # fmt: skip


def raw_of(data, names, bads, sfreq=250.0):
    """Return an MNE recording whose electrodes stand where ours do."""
    places = {name: 0.095 * electrode_positions()[plain_name(name)] for name in names}
    info = mne.create_info(list(names), sfreq, "eeg")
    raw = mne.io.RawArray(data * 1e-6, info, verbose="error")
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    raw.info["bads"] = list(bads)
    return raw


@pytest.mark.parametrize("names", [TEN_TWENTY_19, TEN_TEN])
@pytest.mark.parametrize("bads", [("C3",), ("Fp1", "O2"), ("F7", "F3", "C3", "Cz", "P8", "Pz")])
def test_weights_are_those_of_mne(names, bads):
    """To 1e-6 of the signal, common offset included."""
    old = {"P8": "T6"} if "T6" in names else {}
    bads = [old.get(name, name) for name in bads]
    rng = np.random.default_rng(0)
    data = 20.0 * rng.standard_normal((len(names), 500)) + 300.0
    raw = raw_of(data, names, bads)
    raw.interpolate_bads(reset_bads=False, origin=(0.0, 0.0, 0.0), verbose="error")
    places = np.stack([electrode_positions()[plain_name(name)] for name in names])
    bad = np.isin(names, bads)
    ours = spline_weights(places[~bad], places[bad]) @ data[~bad]
    theirs = raw.get_data()[np.flatnonzero(bad)] * 1e6
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * np.abs(data).max())


def test_the_stage_interpolates_as_mne_does():
    """But for the level, which is the channel's own."""
    x = brain()
    bads = [TEN_TWENTY_19.index(name) for name in ("C3", "T6")]
    x[bads, 1000:] = 0.0
    y = InterpolateBad().build(Signal(250.0, TEN_TWENTY_19)).process(x)
    raw = raw_of(x, TEN_TWENTY_19, ("C3", "T6"))
    raw.interpolate_bads(origin=(0.0, 0.0, 0.0), verbose="error")
    part = slice(1750, None)
    ours, theirs = y[bads, part], raw.get_data()[bads, part] * 1e6
    ours, theirs = ours - ours.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, theirs, atol=1e-6 * theirs.std())
    assert theirs.std() > 5.0


def test_weights_sum_to_one():
    places = np.stack(list(electrode_positions().values()))
    np.testing.assert_allclose(spline_weights(places[5:40], places[:5]).sum(axis=1), 1.0, rtol=1e-9)
    np.testing.assert_allclose(spline_weights(places[5:6], places[:5]), 1.0, rtol=1e-9)


def test_places_lie_on_the_unit_sphere_and_mirror_left_and_right():
    known = electrode_positions()
    assert len(known) > 70
    for name, place in known.items():
        assert np.linalg.norm(place) == pytest.approx(1.0)
        number = int("".join(c for c in plain_name(name) if c.isdigit()) or 0)
        assert np.sign(np.round(place[0], 9)) == (0 if number == 0 else (-1 if number % 2 else 1))
    np.testing.assert_allclose(known["c3"] * [-1, 1, 1], known["c4"], atol=1e-12)


def test_places_are_those_of_the_head_model():
    places = [electrode_positions()[plain_name(name)] for name in CHANNELS]
    np.testing.assert_allclose(places, electrode_directions(), atol=1e-12)


def test_angles_between_places_are_like_those_on_a_head():
    """All that a spline knows. A head reaches further down than the sphere, by a factor common to all angles."""
    measured = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    heads = np.stack([measured[name] for name in TEN_TEN])
    # the best sphere: |p|² = 2 c·p + k is linear in its centre c
    system = np.hstack([2 * heads, np.ones((len(heads), 1))])
    heads = heads - np.linalg.lstsq(system, (heads**2).sum(axis=1), rcond=None)[0][:3]
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    ours = np.stack([electrode_positions()[plain_name(name)] for name in TEN_TEN])
    pairs = np.triu_indices(len(ours), 1)
    there, here = (np.arccos((places @ places.T)[pairs]) for places in (heads, ours))
    assert np.corrcoef(there, here)[0, 1] > 0.98


@pytest.mark.parametrize("name", ["EEG FP1-REF", "Fp1.", "fp1", "EEG Fp1", "FP1-LE"])
def test_spellings_of_a_name(name):
    assert plain_name(name) == "fp1"
    assert plain_name("EEG T7-REF") == plain_name("T3")
