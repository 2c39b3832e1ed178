"""Maps of head and helmet, and the colours of all that is painted."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.monitor import maps
from apps.monitor.colours import MAPS, colour_map
from apps.monitor.described import Described
from apps.monitor.maps import MapPanel, band_power_db, sensor_places
from apps.monitor.model import MonitorModel
from bci.errors import SpecError
from bci.stages.electrodes import electrode_positions
from bci.stages.interpolation import spline_weights
from bci.stages.montages import TEN_TWENTY_19
from tests.apps.monitor_feeding import SFREQ, Clock, signal

STAMPS = 100 + np.arange(2560) / SFREQ


def noise(n_channels=4, n=2560, seed=0):
    return np.random.default_rng(seed).normal(0, 20, (n_channels, n)).astype(np.float32)


# --- maps -------------------------------------------------------------------------------------------------------------


def test_the_map_has_its_peak_where_the_power_is():
    panel = MapPanel()
    panel.connect(signal(TEN_TWENTY_19))
    assert panel.kind == "alpha"
    data = noise(19, 512)
    data[TEN_TWENTY_19.index("C3")] += 200 * np.sin(2 * np.pi * 10 * np.arange(512) / SFREQ).astype(np.float32)
    panel.push(data, STAMPS[:512])
    assert panel.paint(1.0)
    assert not panel.paint(1.05)
    levels = [[np.flatnonzero(panel.colours == pixel).max(initial=-1) for pixel in row] for row in panel.image]
    row, column = np.argwhere(np.equal(levels, np.max(levels))).mean(axis=0) / len(panel.image)
    x, y = panel.positions[panel.names.index("C3")]
    assert math.hypot(column - x, row - y) < 0.08
    assert panel.image[0, 0] == 0
    assert x < 0.4


def test_a_bad_channel_is_left_out():
    panel = MapPanel()
    panel.connect(signal(TEN_TWENTY_19))
    panel.choose("potential")
    data = np.zeros((19, 10), np.float32)
    data[4] = 500
    panel.push(data, STAMPS[:10])
    panel.paint(0.0)
    assert panel.range[1] > 400
    panel.set_bad({TEN_TWENTY_19[4]: "railing"})
    panel.choose("potential")
    panel.paint(1.0)
    assert panel.range[1] < 1


def meg(n_sites=102, unit="fT"):
    """A helmet of sensors in millimetres, not around the origin; pairs of gradiometers share a place."""
    at = np.linspace(0, 1, n_sites)
    polar, azimuth = 1.9 * np.sqrt(at), 2.4 * np.arange(n_sites)
    places = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    places = 100 * places + [3.0, -10.0, 40.0]
    labels = tuple(f"MEG{i:04d}" for i in range(n_sites * 3))
    units = tuple(np.tile(["fT/cm", "fT/cm", "fT"], n_sites).tolist())
    return Described("meg", "MEG", labels, units, ("",) * len(labels), 1000.0, np.repeat(places, 3, axis=0))


def test_306_sensors_give_a_field_and_a_gradient_map():
    panel = MapPanel()
    panel.connect(meg())
    assert panel.kinds == ("gradient (pairs)", "field")
    panel.choose("field")
    assert (len(panel.names), panel.unit) == (102, "fT")
    direction = sensor_places(meg())[2::3]
    data = np.zeros((306, 4), np.float32)
    data[2::3] = (direction @ [1.0, 0.0, 0.0])[:, None] * 100
    panel.push(data, np.arange(4) / 1000)
    assert panel.paint(0.0)
    middle = len(panel.image) // 2
    left, right = panel.image[middle, 10], panel.image[middle, -11]
    assert list(panel.colours).index(left) < 60
    assert list(panel.colours).index(right) > 196
    panel.choose("gradient (pairs)")
    data[0::3], data[1::3] = 3, 4
    panel.push(data, 1 + np.arange(4) / 1000)
    assert panel.paint(1.0)
    assert panel.range == pytest.approx((4.5, 5.5))


def test_without_places_there_is_no_map_and_it_is_said():
    panel = MapPanel()
    assert panel.why_empty == "No signal yet."
    panel.connect(signal(("a", "b", "c", "d", "e")))
    assert panel.why_empty == "A map needs 4 to 512 channels with known places."
    assert not panel.paint(0.0)
    flat = np.array([[0, 0, 1.0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [2, 1, 1]])
    panel.connect(signal(("a", "b", "c", "d", "e"), positions=flat))
    assert panel.kinds == ()
    with pytest.raises(SpecError, match="The map can show nothing yet, got 'alpha'"):
        panel.choose("alpha")


def test_places_of_a_head_that_is_not_at_the_origin_are_its_directions():
    wanted = np.array([electrode_positions()[name.lower()] for name in TEN_TWENTY_19])
    moved = signal(TEN_TWENTY_19, positions=90 * wanted + [5.0, 20.0, -30.0])
    np.testing.assert_allclose(sensor_places(moved), wanted, atol=1e-9)


def test_band_power_is_that_of_a_sine():
    t = np.arange(512) / SFREQ
    data = np.stack([10 * np.sin(2 * np.pi * 10 * t), 10 * np.sin(2 * np.pi * 20 * t)])
    np.testing.assert_allclose(band_power_db(data, SFREQ, 8, 13), [10 * np.log10(50), -60.0], atol=0.1)


def test_values_that_are_no_numbers_leave_no_map():
    panel = MapPanel()
    panel.connect(signal(TEN_TWENTY_19))
    panel.push(np.full((19, 512), np.nan), STAMPS[:512])
    assert not panel.paint(0.0)
    panel.push(noise(19), STAMPS)
    assert panel.paint(1.0)
    assert panel.image.any()
    panel.push(np.full((19, 512), np.nan), STAMPS[-1] + STAMPS[:512])
    assert panel.paint(2.0)
    assert not panel.image.any()
    assert not panel.paint(3.0)


def test_more_sensors_than_a_window_can_wait_for_give_no_map():
    places = np.random.default_rng(0).normal(size=(600, 3))
    labels = tuple(f"s{i}" for i in range(600))
    panel = MapPanel()
    panel.connect(Described("grid", "EEG", labels, ("uV",) * 600, ("EEG",) * 600, SFREQ, places))
    assert panel.kinds == ()
    assert "4 to 512 channels" in panel.why_empty


def test_a_map_that_nobody_looks_at_costs_nothing(monkeypatch):
    made = []
    monkeypatch.setattr(maps, "spline_weights", lambda *places: made.append(places) or spline_weights(*places))
    panel = MapPanel()
    panel.connect(signal(TEN_TWENTY_19))
    panel.push(noise(19), STAMPS)
    for name in TEN_TWENTY_19[:5]:
        panel.set_bad({name: "flat"})
    assert not made
    assert panel.paint(0.0)
    assert panel.paint(1.0)
    assert len(made) == 1


def test_the_map_takes_the_filtered_signal_or_the_one_with_places():
    clock = Clock()
    model = MonitorModel(clock)
    model.on_stream("raw", signal(TEN_TWENTY_19))
    assert model.maps.kinds
    model.on_stream("signal", signal(("a", "b", "c", "d")))
    assert model.maps.kinds == ()
    model.on_stream("raw", signal(TEN_TWENTY_19))
    assert model.maps.kinds
    model.on_raw(noise(19), STAMPS)
    assert model.maps.paint(0.0)


# --- colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAPS)
def test_colour_maps_rise_evenly_in_lightness(name):
    """Perceptually uniform, so that they are read without seeing hues; the signed one is lightest in the middle."""
    colours = colour_map(name)
    assert (colours >> 24 == 0xFF).all()
    colours = colours[::8]  # 8 bits per colour are too coarse for single steps
    rgb = np.stack([(colours >> shift) & 0xFF for shift in (16, 8, 0)], axis=1) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
    steps = np.diff(lightness[:16] if name == "signed" else lightness)
    assert steps.min() > 0
    assert steps.max() < 2.5 * steps.mean()
    if name == "signed":
        assert np.diff(lightness[16:]).max() < 0
