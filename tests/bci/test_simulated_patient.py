"""The simulated patient: reproducible, physiological, with exact ground truth, and not a toy."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfilt, spectrogram

from bci.errors import SignalError, SpecError
from bci.sources.artefacts import RENDERERS, Event, Scene, render
from bci.sources.clinical_course import FIRST_SEIZURE_S, SEIZURE_GAP_S, TAIL_S, draw_traits, plan_seizures
from bci.sources.head_model import CHANNELS, cortex_directions, electrode_directions, lead_field
from bci.sources.neural_mass import Excitability, NeuralMass
from bci.sources.simulated_patient import PatientSpec, Seizure, SimulatedPatient, simulate, write_fif

SZCORE_ORDER = "Fp1 F3 C3 P3 O1 F7 T3 T5 Fz Cz Pz Fp2 F4 C4 P4 O2 F8 T4 T6"
SHORT = PatientSpec(seed=5, duration_s=40.0, seizures_per_hour=0.0)


def rows(*names: str) -> list[int]:
    return [CHANNELS.index(name) for name in names]


# --- what is read ---------------------------------------------------------------------------------------------------


def test_the_stream_does_not_depend_on_how_it_is_read():
    whole, seizures = simulate(SHORT)
    patient = SimulatedPatient(SHORT)
    rng = np.random.default_rng(0)
    parts = []
    while patient.n_read < patient.n_samples:
        parts.append(patient.read(int(rng.choice([0, 1, 7, 8, 255, 256, 257, 1500]))))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    assert patient.seizures == seizures
    assert patient.read(8).shape == (19, 0)
    assert patient.n_read == patient.n_samples == 40 * 256


def test_shape_type_and_names():
    patient = SimulatedPatient(SHORT)
    x = patient.read(10)
    assert x.shape == (19, 10)
    assert x.dtype == np.float32
    assert " ".join(patient.signal.names) == SZCORE_ORDER
    assert (patient.signal.sfreq, patient.signal.unit) == (256.0, "uV")


def test_same_seed_same_patient_other_seed_another():
    one, _ = simulate(SHORT)
    again, _ = simulate(SHORT)
    other, _ = simulate(dataclasses.replace(SHORT, seed=6))
    np.testing.assert_array_equal(one, again)
    assert np.abs(np.corrcoef(one[8], other[8])[0, 1]) < 0.5
    assert np.isfinite(one).all()


@pytest.mark.parametrize("sfreq", [128.0, 200.0, 500.0])
def test_other_rates_keep_the_length_in_seconds(sfreq):
    data, _ = simulate(PatientSpec(seed=1, duration_s=5.0, sfreq=sfreq))
    assert data.shape == (19, round(5 * sfreq))
    assert np.isfinite(data).all()


# --- ground truth ---------------------------------------------------------------------------------------------------


def test_a_demo_of_sixty_seconds_has_a_seizure():
    for seed in range(20):
        (seizure,) = SimulatedPatient(PatientSpec(seed, 60.0)).seizures
        assert isinstance(seizure, Seizure)
        assert seizure.onset_s >= FIRST_SEIZURE_S
        assert seizure.onset_s + seizure.duration_s <= 60 - TAIL_S
        assert seizure.duration_s >= 8
        assert seizure.focus in CHANNELS


def test_no_seizures_when_none_are_asked_for():
    assert SimulatedPatient(PatientSpec(1, 120.0, seizures_per_hour=0.0)).seizures == ()


def test_seizures_keep_their_distance_and_their_rate():
    counts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        courses = plan_seizures(rng, draw_traits(rng), 3600.0, 6.0)
        counts.append(len(courses))
        for one, following in itertools.pairwise(courses):
            end = one.seizure.onset_s + one.seizure.duration_s
            assert following.seizure.onset_s - end >= SEIZURE_GAP_S - 1 / 16
            assert one.seizure.onset_s * 256 == round(one.seizure.onset_s * 256)
    assert 5 < np.mean(counts) < 7


def test_the_discharge_is_where_and_when_the_truth_says():
    """Power at 2–13 Hz at the focus rises within seconds of the onset and is gone seconds after the end."""
    sos = butter(2, (2.0, 13.0), "band", fs=256, output="sos")
    rises, falls = [], []
    for seed in range(200, 210):
        patient = SimulatedPatient(PatientSpec(seed, 60.0))
        data = sosfilt(sos, patient.read(patient.n_samples).astype(np.float64))
        (seizure,) = patient.seizures
        focus = data[CHANNELS.index(seizure.focus)]
        onset, end = seizure.onset_s, seizure.onset_s + seizure.duration_s
        level = [np.median(np.abs(focus[int(a * 256) : int(b * 256)])) for a, b in (
            (onset - 10, onset - 1), (onset + 4, end), (end + 1.5, end + 5))]  # fmt: skip
        rises.append(level[1] / level[0])
        falls.append(level[1] / level[2])
    assert np.median(rises) > 1.8
    assert np.mean(np.array(rises) > 1.15) > 0.8
    assert np.median(falls) > 1.5


def test_the_discharge_slows_down():
    rng = np.random.default_rng(3)
    for _ in range(20):
        traits = draw_traits(rng)
        assert 5.0 <= traits.onset_hz <= 8.5
        assert 1.9 < traits.final_hz < 0.6 * traits.onset_hz + 1e-9


# --- physiology -----------------------------------------------------------------------------------------------------


def test_wendling_regimes():
    """Normal, alpha and spiking activity come from the gains alone, as in figure 3 of Wendling et al. (2002)."""
    gains = np.array([[3.25, 22.0, 10.0], [4.5, 15.0, 10.0], [5.0, 25.0, 5.0]])
    populations = NeuralMass(3, 1 / 512)
    drive = 90 + 30 * np.random.default_rng(0).standard_normal((512 * 20, 3))
    settings = Excitability(gains[:, 0], gains[:, 1], gains[:, 2], np.ones(3))
    potential = populations.run(drive, settings)[512 * 2 :]
    normal, alpha, spikes = potential.std(axis=0)
    assert normal < 0.5 < alpha < spikes
    frequencies, _, power = spectrogram(potential - potential.mean(0), 512, nperseg=2048, axis=0)
    peaks = frequencies[power.mean(axis=-1).argmax(axis=0)]
    assert 8 < peaks[1] < 13
    assert 3 < peaks[2] < 7


def test_a_faster_population_is_the_same_in_faster_time():
    drive = np.full((512 * 12, 1), 90.0)

    def frequency(speed: float) -> float:
        one = np.ones(1)
        y = NeuralMass(1, 1 / 512).run(drive, Excitability(6.0 * one, 35.0 * one, 10.0 * one, speed * one))[1024:, 0]
        return float(np.sum(np.diff(np.sign(y - y.mean())) > 0)) / 10

    assert frequency(1.5) == pytest.approx(1.5 * frequency(1.0), rel=0.06)


@pytest.fixture(scope="module")
def backgrounds():
    """Median power spectra of 12 patients without seizures: frequencies, and (patient, channel, frequency)."""
    spectra = []
    for seed in range(100, 112):
        data, _ = simulate(PatientSpec(seed, 60.0, seizures_per_hour=0.0))
        frequencies, _, power = spectrogram(data.astype(np.float64), 256, nperseg=1024, noverlap=512)
        spectra.append(np.median(power, axis=-1))  # the median leaves artefacts out
    return frequencies, np.array(spectra)


def slopes(frequencies: np.ndarray, spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit log power to log frequency over 2–40 Hz without 7–14 Hz; the last axis is frequency."""
    used = ((frequencies >= 2) & (frequencies <= 7)) | ((frequencies >= 14) & (frequencies <= 40))
    flat = np.log10(spectra.reshape(-1, frequencies.size)[:, used])
    slope, offset = np.polyfit(np.log10(frequencies[used]), flat.T, 1)
    return slope.reshape(spectra.shape[:-1]), offset.reshape(spectra.shape[:-1])


def test_background_falls_as_one_over_f(backgrounds):
    """Exponents of scalp EEG are about 1 to 2.

    Donoghue et al. (2020), doi:10.1038/s41593-020-00744-x: group means near 1–1.5 at 2–40 Hz in awake adults;
    He (2014), doi:10.1016/j.tics.2014.04.003: 1–2 over fields and species.
    """
    exponents = -slopes(*backgrounds)[0]
    assert 1.0 < np.median(exponents) < 2.0
    by_patient = np.median(exponents, axis=1)
    assert by_patient.min() > 1.0
    assert by_patient.max() < 2.0


def test_the_posterior_rhythm_is_alpha(backgrounds):
    """A peak at 8–12 Hz over O1 and O2, above the front: Klimesch (1999), doi:10.1016/S0165-0173(98)00056-3."""
    frequencies, spectra = backgrounds
    occipital = spectra[:, rows("O1", "O2")].mean(axis=1)
    frontal = spectra[:, rows("F3", "F4", "Fz")].mean(axis=1)
    slope, offset = slopes(frequencies, occipital)
    around = (frequencies >= 6) & (frequencies <= 15)
    above = np.log10(occipital[:, around]) - slope[:, None] * np.log10(frequencies[around]) - offset[:, None]
    peaks = frequencies[around][above.argmax(axis=1)]
    assert np.all((peaks >= 8) & (peaks <= 12))
    assert np.median(above.max(axis=1)) > 0.3
    alpha = (frequencies >= 8) & (frequencies <= 13)
    assert np.median(occipital[:, alpha].mean(axis=1) / frontal[:, alpha].mean(axis=1)) > 1.3


def test_clean_background_has_the_amplitude_of_eeg(backgrounds):
    """Scalp EEG awake is about 10–100 µV peak to peak, so some 5–50 µV RMS.

    Niedermeyer's Electroencephalography, 7th ed. (2017), doi:10.1093/med/9780190228484.001.0001.
    """
    frequencies, spectra = backgrounds
    band = (frequencies >= 1) & (frequencies <= 40)
    rms = np.sqrt(spectra[..., band].sum(axis=-1) * frequencies[1])
    assert 5 < np.median(rms) < 25
    assert np.median(rms, axis=1).min() > 3
    assert rms.max() < 50


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
def test_mains(line_hz):
    data, _ = simulate(dataclasses.replace(SHORT, line_hz=line_hz))
    frequencies, _, power = spectrogram(data.astype(np.float64), 256, nperseg=512)
    power = np.median(power, axis=-1)
    ratio = power[:, frequencies == line_hz] / power[:, np.abs(frequencies - line_hz - 5) < 0.1]
    assert np.median(ratio) > 3


@pytest.mark.parametrize("kind", sorted(RENDERERS))
def test_events_are_finite_bounded_and_their_own(kind):
    scene = Scene(256.0, draw_traits(np.random.default_rng(0)))
    peaks = []
    for seed in range(10):
        event = Event(kind, 1.0, 4.0, seed)
        potential = render(event, scene)
        assert potential.shape == (19, 1024)
        np.testing.assert_array_equal(potential, render(event, scene))
        peaks.append(np.abs(potential).max())
    assert 5 < np.median(peaks) < 500


def test_blinks_are_frontal_and_chewing_is_temporal():
    scene = Scene(256.0, draw_traits(np.random.default_rng(0)))
    blink = np.abs(render(Event("blink", 0.0, 0.5, 1), scene)).max(axis=1)
    assert set(np.argsort(blink)[-2:]) == set(rows("Fp1", "Fp2"))
    assert blink[rows("O1")] < 0.2 * blink.max()
    chewing = render(Event("chewing", 0.0, 10.0, 1), scene).std(axis=1)
    assert set(np.argsort(chewing)[-2:]) == set(rows("T3", "T4"))


# --- forward model --------------------------------------------------------------------------------------------------


def test_lead_field_agrees_with_mne():
    """MNE approximates the same four shells by three dipoles (Berg & Scherg, 1994); the two differ by under 1 %."""
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(0)
    electrodes, directions = electrode_directions(), cortex_directions(32)
    positions = directions * rng.uniform(0.3, 0.82, (32, 1))
    orientations = rng.standard_normal((32, 3))
    orientations /= np.linalg.norm(orientations, axis=1, keepdims=True)
    ours = lead_field(electrodes, positions, orientations)

    sphere = mne.make_sphere_model((0, 0, 0), 0.09, verbose="error")
    info = mne.create_info(list(CHANNELS), 256.0, "eeg")
    info.set_montage(
        mne.channels.make_dig_montage(
            dict(zip(CHANNELS, 0.09 * electrodes, strict=True)),
            nasion=[0, 0.09, 0], lpa=[-0.09, 0, 0], rpa=[0.09, 0, 0], coord_frame="head",
        )
    )  # fmt: skip
    dipoles = mne.Dipole(np.arange(32.0), 0.09 * positions, np.full(32, 1e-9), orientations, np.full(32, 100.0))
    forward, _ = mne.make_forward_dipole(dipoles, sphere, info, verbose="error")
    field = forward["sol"]["data"]
    if field.shape[1] == 3 * 32:
        field = np.einsum("eds,ds->ed", field.reshape(19, 32, 3), orientations)
    theirs = 1e-9 * 1e6 * field
    assert np.all(np.linalg.norm(ours - theirs, axis=0) < 0.01 * np.linalg.norm(theirs, axis=0))


def test_patches_are_on_the_upper_head():
    directions = cortex_directions(32)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    assert directions[:, 2].min() > np.cos(np.deg2rad(105))
    assert np.abs(directions[:, :2].mean(axis=0)).max() < 0.1


# --- files and messages ---------------------------------------------------------------------------------------------


def test_fif_has_volts_and_annotations(tmp_path):
    mne = pytest.importorskip("mne")
    spec = PatientSpec(3, 60.0)
    write_fif(spec, tmp_path / "patient_raw.fif")
    raw = mne.io.read_raw_fif(tmp_path / "patient_raw.fif", preload=True, verbose="error")
    data, seizures = simulate(spec)
    np.testing.assert_allclose(raw.get_data() * 1e6, data, rtol=1e-5, atol=1e-3)
    assert raw.ch_names == list(CHANNELS)
    assert raw.get_montage() is not None
    assert [(a["onset"], a["duration"], a["description"]) for a in raw.annotations] == [
        (s.onset_s, s.duration_s, "seizure") for s in seizures
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "seed of 0 or more, got -1"),
        ({"duration_s": 0.0}, r"duration above 0 s, got 0\.0"),
        ({"duration_s": float("nan")}, "duration above 0 s, got nan"),
        ({"seizures_per_hour": -1.0}, r"0 or more seizures per hour, got -1\.0"),
        ({"sfreq": 100.0}, "sampled at 128 to 1024 Hz, got 100 Hz"),
        ({"line_hz": 128.0}, r"below 128 Hz \(Nyquist\), got line_hz=128"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(SpecError, match=message):
        PatientSpec(**{"seed": 1, **settings})


def test_reading_backwards_is_refused():
    with pytest.raises(SignalError, match="0 or more samples, got n_samples=-1"):
        SimulatedPatient(PatientSpec(1, 1.0)).read(-1)


# --- not a toy ------------------------------------------------------------------------------------------------------

Intervals = list[tuple[float, float]]


def count(detected: Intervals, true: Intervals) -> np.ndarray:
    """Count found seizures, false alarms and seizures as SzCORE does.

    Any overlap; an alarm may come 30 s before and 60 s after; alarms less than 90 s apart are one, and alarms longer
    than 300 s are several (Dan et al., 2024, doi:10.1111/epi.18113).
    """
    merged: list[list[float]] = []
    for start, stop in detected:
        if merged and start - merged[-1][1] < 90:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    alarms = [(a, min(a + 300, stop)) for start, stop in merged for a in np.arange(start, stop, 300)]
    found = sum(any(a < stop + 60 and b > start - 30 for a, b in alarms) for start, stop in true)
    false = sum(not any(a < stop + 60 and b > start - 30 for start, stop in true) for a, b in alarms)
    return np.array([found, false, len(true)])


def f1(counts: list[np.ndarray]) -> float:
    found, false, n = np.sum(counts, axis=0)
    return float(2 * found / (found + false + n))


def line_lengths(data: np.ndarray) -> dict[tuple, np.ndarray]:
    """Return log line length per second: bands, 5 s and 10 s, and how channels are joined; relative to the median."""
    features = {}
    for band in ((0.5, 40.0), (3.0, 15.0)):
        filtered = sosfilt(butter(2, band, "band", fs=256, output="sos"), data.astype(np.float64))
        filtered -= filtered.mean(axis=0)
        steps = np.abs(np.diff(filtered, axis=1, prepend=filtered[:, :1])).reshape(19, -1, 256).mean(axis=-1)
        for window_s in (5, 10):
            length = uniform_filter1d(steps, window_s, axis=1)
            length /= np.median(length, axis=1, keepdims=True)
            for name, join in (("mean", np.mean), ("max", np.max), ("median", np.median)):
                features[(*band, window_s, name)] = np.log(join(length, axis=0))
    return features


def alarms_above(level: np.ndarray, threshold: float, shortest_s: int) -> Intervals:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (level > threshold).astype(int), [0]])))
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= shortest_s]


@pytest.mark.slow
@pytest.mark.timeout(900)  # simulates 100 minutes: 35 s of one free core
def test_line_length_is_not_enough():
    """The best of 12 line-length detectors on three patients stays below F1 0.6 on three others, both ways round.

    One seizure in 1000 s: with more, alarms that never stop score well, since tolerance and merging cover the rest.
    """
    patients = []
    for seed in range(1000, 1006):
        data, seizures = simulate(PatientSpec(seed, 1000.0, seizures_per_hour=1.0))
        patients.append((line_lengths(data), [(s.onset_s, s.onset_s + s.duration_s) for s in seizures]))

    def counts(group, feature, threshold, shortest_s):
        return [count(alarms_above(x[feature], threshold, shortest_s), true) for x, true in group]

    held_out = []
    for training, testing in ((patients[:3], patients[3:]), (patients[3:], patients[:3])):
        settings = [
            (feature, threshold, shortest_s)
            for feature in training[0][0]
            for threshold in np.quantile(np.concatenate([x[feature] for x, _ in training]), np.linspace(0.6, 0.999, 40))
            for shortest_s in (1, 5, 10)
        ]
        held_out += counts(testing, *max(settings, key=lambda s: f1(counts(training, *s))))
    assert f1(held_out) < 0.6
    assert f1([count([(0.0, 1000.0)], true) for _, true in patients]) < 0.6  # nor is it enough to alarm always
