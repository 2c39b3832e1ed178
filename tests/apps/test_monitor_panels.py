"""What the panels paint: traces in their montage, and the spectrogram; and the order of all that."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.monitor.described import Described
from apps.monitor.draw import TraceColours
from apps.monitor.montage import clinical_order, montages
from apps.monitor.spectrogram import SpectrogramPanel
from apps.monitor.traces import TracePanel
from bci.errors import SpecError
from tests.apps.monitor_feeding import SFREQ, Clock, features, running, signal

LABELS = ("F3", "C3", "P3", "O1")
STAMPS = 100 + np.arange(2560) / SFREQ


def noise(n_channels=4, n=2560, seed=0):
    return np.random.default_rng(seed).normal(0, 20, (n_channels, n)).astype(np.float32)


def traces(data, source="filtered", labels=LABELS, **size):
    panel = TracePanel(**{"width_px": 100, "height_px": 80} | size)
    panel.connect(source, signal(labels))
    for start in range(0, data.shape[1], 300):
        part = data[:, start : start + 300]
        panel.push(source, part, STAMPS[start : start + part.shape[1]])
        panel.paint()
    return panel


# --- traces -----------------------------------------------------------------------------------------------------------


def test_montages_of_the_same_samples():
    """Switching builds the image anew from what is kept: the same as if it had been chosen before."""
    data = noise()
    late = traces(data)
    assert late.names == LABELS
    late.choose_montage("double banana")
    late.paint()
    assert late.names == ("F3–C3", "C3–P3", "P3–O1")
    early = TracePanel(100, 80)
    early.connect("filtered", signal(LABELS))
    early.choose_montage("double banana")
    early.push("filtered", data, STAMPS)
    early.paint()
    np.testing.assert_array_equal(late.image, early.image)
    late.choose_montage("average reference")
    assert late.names == LABELS


def test_a_montage_subtracts():
    found = montages(LABELS, electric=True)
    data = np.array([[1.0], [3.0], [np.nan], [8.0]])
    np.testing.assert_array_equal(found["double banana"].apply(data)[0], [-2.0])
    np.testing.assert_array_equal(found["average reference"].apply(data)[:, 0], [-3.0, -1.0, np.nan, 4.0])
    np.testing.assert_array_equal(found["average reference"].apply(data, bad=[3])[:, 0], [-1.0, 1.0, np.nan, 6.0])
    assert list(montages(("F3-C3", "C3-P3"), electric=True)) == ["as published"]
    assert list(montages(LABELS, electric=False)) == ["as published"]


def test_many_channels_come_in_pages():
    labels = tuple(f"MEG {i:04d}" for i in range(306))
    pages = dict(list(montages(labels, electric=False).items())[1:])
    assert list(pages)[::6] == ["channels 1–48", "channels 289–306"]
    assert sum((page.names for page in pages.values()), ()) == labels
    np.testing.assert_array_equal(pages["channels 49–96"].apply(np.arange(306.0)[:, None])[:, 0], np.arange(48, 96))
    assert len(montages(labels[:64], electric=False)) == 1


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (("O2", "Cz", "EEG Fp1-REF", "T7", "F3"), (2, 4, 3, 1, 0)),
        (("PO4", "AF3", "Cz", "F3", "O2", "aux"), (1, 3, 2, 0, 4, 5)),
        (("x", "y", "F3"), (0, 1, 2)),
        ((), ()),
    ],
)
def test_clinical_order(labels, order):
    assert tuple(clinical_order(labels)) == order


def test_raw_traces_come_into_their_lanes_and_filtered_ones_stay():
    data = noise() + np.array([[300.0], [-4000.0], [0.0], [50.0]], np.float32)
    panel = traces(data, "raw")
    for i in range(4):
        rows = np.flatnonzero((panel.image[:, :50] != TraceColours().background).any(axis=1))
        assert np.abs(rows - panel.lane_y(i)).min() < 2
    assert traces(noise())._offsets.tolist() == [0, 0, 0, 0]


def test_bad_traces_are_grey():
    panel = traces(noise())
    panel.set_colours(TraceColours(background=0xFF000000, good=0xFFFFFFFF, bad=0xFF555555))
    panel.choose_montage("double banana")
    panel.set_bad({"O1": "flat"})
    panel.paint()
    assert panel.bad == {"P3–O1": "O1: flat"}
    for i, colour in enumerate((0xFFFFFFFF, 0xFFFFFFFF, 0xFF555555)):
        middle = round(panel.lane_y(i))
        assert (panel.image[middle - 3 : middle + 3] == colour).any()


def test_doubtful_traces_have_a_colour_of_their_own_until_they_are_bad():
    panel = traces(noise())
    panel.set_colours(TraceColours(0xFF000000, 0xFFFFFFFF, 0xFFDD9944, 0xFF555555))
    panel.set_bad({"O1": "flat"}, frozenset({"C3", "O1"}))
    panel.paint()
    assert panel.doubtful == {"C3"}
    for i, colour in enumerate((0xFFFFFFFF, 0xFFDD9944, 0xFFFFFFFF, 0xFF555555)):
        middle = round(panel.lane_y(i))
        assert (panel.image[middle - 3 : middle + 3] == colour).any()
    panel.choose_montage("double banana")
    panel.paint()
    assert panel.doubtful == {"F3–C3", "C3–P3"}


def test_a_stream_that_comes_again_as_it_was_goes_on():
    panel = traces(noise())
    panel.choose_montage("double banana")
    panel.connect("filtered", signal(LABELS))
    assert panel.montage == "double banana"
    panel.push("filtered", noise(n=256), STAMPS[-1] + 5 + np.arange(256) / SFREQ)
    assert panel.oldest_s == STAMPS[0]
    assert panel.latest_s == pytest.approx(STAMPS[-1] + 6, abs=0.01)


def test_times_and_places_agree_in_both_modes():
    panel = traces(noise(n=1000))
    for scroll in (True, False):
        for stamp in (100.5, 102.0, 103.8):
            assert panel.time_at(panel.x_of(stamp, scroll), scroll) == pytest.approx(stamp)
        assert math.isnan(panel.x_of(90.0, scroll))
        assert math.isnan(panel.x_of(200.0, scroll))
    assert panel.x_of(panel.newest_s - 1e-6, True) == pytest.approx(100, abs=0.01)
    assert math.isnan(panel.time_at(0, True))
    full = traces(noise(), span_s=5.0)
    assert full.time_at(full.head, False) < full.time_at(full.head - 1, False)


def test_another_size_span_or_source_begins_another_image():
    panel = traces(noise())
    generation = panel.generation
    panel.resize(50, 40)
    assert panel.image.shape == (40, 50)
    panel.resize(50, 40)
    assert panel.generation == generation + 1
    panel.resize(0, -3)
    assert panel.image.shape == (1, 1)
    panel.set_span(0.1)
    assert panel.span_s == 1.0
    panel.set_span(1e9)
    assert panel.span_s == 60.0
    panel.connect("raw", signal(("A", "B"), unit="fT"))
    assert (panel.source, panel.sources) == ("filtered", ("filtered", "raw"))
    panel.choose_source("raw")
    assert (panel.names, panel.unit, panel.scale) == (("A", "B"), "fT", 3000.0)


def test_sensors_of_several_units_fill_their_lanes_alike():
    """As of a helmet: magnetometers in fT, gradiometers in fT/cm; both of their usual height."""
    panel = TracePanel(100, 80)
    labels, units = ("MEG 1", "MEG 2"), ("fT", "fT/cm")
    panel.connect("filtered", Described("helmet", "MEG", labels, units, ("", ""), SFREQ))
    assert panel.montages == ("as published",)
    assert panel.scale == 3000.0
    assert panel.amounts(1000.0) == ((1000.0, "fT"), (100.0, "fT/cm"))
    data = np.zeros((2, 1000), np.float32)
    data[:, 500] = (1500, 150)
    panel.push("filtered", data, STAMPS[:1000])
    panel.paint()
    rows = [np.flatnonzero((half != TraceColours().background).any(axis=1)) for half in np.split(panel.image, 2)]
    assert abs(int(rows[0].min()) - int(rows[1].min())) <= 1
    assert rows[0].max() - rows[0].min() == pytest.approx(20, abs=1)


def test_a_stream_that_comes_again_with_other_channels_is_shown():
    panel = traces(noise())
    panel.connect("filtered", signal(("A", "B", "C")))
    panel.push("filtered", noise(), STAMPS)
    assert not panel.paint()
    panel.push("filtered", noise(3), STAMPS)
    assert panel.paint()
    assert panel.names == ("A", "B", "C")
    panel.connect("filtered", signal(()))
    assert (panel.names, panel.sources) == ((), ())
    assert (panel.image == TraceColours().background).all()


def test_nothing_and_nonsense_are_painted():
    data = noise()
    data[0] = np.nan
    data[1, ::7] = 1e6
    data[2, 100:300] = -np.inf
    panel = traces(data)
    panel.set_scale(1e-9)
    panel.paint()
    panel.set_scale(1e9)
    panel.paint()
    empty = TracePanel(10, 10)
    assert not empty.paint()
    assert (empty.names, empty.unit, empty.bad, empty.sources, empty.montages) == ((), "", {}, (), ())
    irregular = TracePanel(10, 10)
    irregular.connect("raw", signal(("A",), sfreq=0.0))
    irregular.push("raw", noise(1, 50), np.arange(50.0))
    assert irregular.paint()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda p: p.set_scale(0), "A lane needs a height above 0 uV, got 0"),
        (lambda p: p.choose_source("x"), "Traces can show filtered, got 'x'"),
        (lambda p: p.choose_montage("x"), "These channels can be shown as published, .* got 'x'"),
    ],
)
def test_choices_that_there_are_not_are_refused(do, message):
    with pytest.raises(SpecError, match=message):
        do(traces(noise()))


def test_a_fast_replay_keeps_its_span():
    clock = Clock()
    model = running(clock, speed="4")
    model.on_stream("signal", signal(LABELS, fields={"speed": "4"}))
    stamps = 100 + np.arange(40 * 1024) / (4 * SFREQ)
    model.on_signal(noise(4, len(stamps)), stamps)
    model.traces.set_span(30)
    model.traces.paint()
    assert np.isfinite(model.traces.time_at(0, True))


# --- spectrogram ------------------------------------------------------------------------------------------------------


def spectrogram(frames, stamps):
    panel = SpectrogramPanel(span_s=4.0)
    panel.connect(features(("F3", "C4"), n_mels=4))
    panel.set_range(0, 255)
    for k in range(len(stamps)):
        panel.push(frames[:, k : k + 1], stamps[k : k + 1])
        panel.paint()
    return panel


def test_the_image_is_the_features_highest_band_on_top():
    stamps = 50 + np.arange(100) / 16
    frames = np.arange(8.0)[:, None] * 10 + (np.arange(100) % 7)[None]
    panel = spectrogram(frames, stamps)
    panel.choose("C4")
    assert panel.image.shape == (4, 64)
    wanted = panel.colours[np.rint(frames[4:, -64:]).astype(int)][::-1]
    shown = np.concatenate([panel.image[:, panel.head :], panel.image[:, : panel.head]], axis=1)
    np.testing.assert_array_equal(shown, wanted)
    panel.choose("all channels")
    assert panel.image[0, 0] == panel.colours[round(float(frames[[3, 7], -64].mean()))]
    assert panel.x_of(stamps[-1], True) == pytest.approx(63)
    assert panel.time_at(63, True) == pytest.approx(stamps[-1])
    assert panel.choices[:3] == ("all channels", "left hemisphere", "right hemisphere")


def test_painting_piece_by_piece_is_painting_at_once():
    stamps = 50 + np.arange(90) / 16
    stamps[40:] += 1.0
    frames = np.random.default_rng(3).uniform(0, 255, (8, 90))
    frames[2, 7] = np.nan
    pieces, whole = spectrogram(frames, stamps), SpectrogramPanel(span_s=4.0)
    whole.connect(features(("F3", "C4"), n_mels=4))
    whole.set_range(0, 255)
    whole.push(frames, stamps)
    whole.paint()
    np.testing.assert_array_equal(pieces.image, whole.image)
    assert (whole.image == whole.background).all(axis=0).sum() == 14


def test_no_rate_takes_more_memory_than_a_picture():
    panel = SpectrogramPanel(span_s=60.0)
    panel.connect(features(("F3", "C4"), n_mels=4, sfreq=1e9))
    assert panel.image.nbytes <= 16 << 20
    assert panel.shown_s < 0.01
    panel.push(np.full((8, 50), 20.0), 1 + np.arange(50) / 1e9)
    assert panel.paint()


def test_the_range_follows_the_first_second_then_stays():
    panel = SpectrogramPanel(span_s=4.0)
    panel.connect(features(("F3",), n_mels=4))
    panel.push(np.full((4, 20), 33.0), 1 + np.arange(20) / 16)
    panel.paint()
    chosen = panel.range_db
    assert chosen[0] <= 33 <= chosen[1]
    panel.push(np.full((4, 20), 90.0), 3 + np.arange(20) / 16)
    panel.paint()
    assert panel.range_db == chosen
    panel.fit_range()
    assert panel.range_db == (30.0, 90.0)
    empty = SpectrogramPanel()
    empty.fit_range()
    empty.connect(features(("F3",), n_mels=4))
    empty.push(np.full((4, 3), np.nan), 1 + np.arange(3) / 16)
    empty.fit_range()
    assert empty.range_db == SpectrogramPanel().range_db


def test_a_held_spectrogram_stays_and_goes_on_with_all_that_came():
    stamps = 50 + np.arange(160) / 16
    frames = np.random.default_rng(4).uniform(0, 255, (8, 160))
    held = spectrogram(frames[:, :100], stamps[:100])
    held.hold(stamps[79])
    kept = held.image.copy()
    assert held.newest_s == stamps[79]
    held.push(frames[:, 100:], stamps[100:])
    assert not held.paint()
    held.connect(features(("F3", "C4"), n_mels=4))  # it comes again as it was
    np.testing.assert_array_equal(held.image, kept)
    held.hold(math.nan)
    whole = spectrogram(frames, stamps)
    shown = [np.roll(panel.image, -panel.head, axis=1) for panel in (held, whole)]
    np.testing.assert_array_equal(*shown)


@pytest.mark.parametrize("labels", [(), ("C3", "C4"), ("C3@mel00", "C3@mel01", "C4@mel00")])
def test_features_of_another_kind_show_nothing(labels):
    panel = SpectrogramPanel()
    panel.connect(Described("x", "Features", labels, sfreq=16.0))
    panel.push(np.zeros((len(labels), 5)), np.arange(5.0))
    assert not panel.paint()
    assert panel.choices == ()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        (lambda p: p.choose("Oz"), "The spectrogram can show nothing yet, got 'Oz'"),
        (lambda p: p.set_range(3, 3), "need a range of dB with low below high, got 3 to 3"),
    ],
)
def test_what_the_spectrogram_cannot_show_is_refused(do, message):
    with pytest.raises(SpecError, match=message):
        do(SpectrogramPanel())
