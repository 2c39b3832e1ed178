"""The common form: names, references and rates, the same whether a recording is read whole or in parts."""

from __future__ import annotations

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import RecordingError, SpecError
from bci.sources.recording import open_recording
from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19
from offline.datasets.normalise import normaliser

RNG = np.random.default_rng(0)
SPELLINGS = {
    "plain": TEN_TWENTY_19,
    "TUH": tuple(f"EEG {name.upper()}-REF" for name in TEN_TWENTY_19),
    "TUH linked ears": tuple(f"EEG {name.upper()}-LE" for name in TEN_TWENTY_19),
    "SzCORE": tuple(f"{name}-Avg" for name in TEN_TWENTY_19),
    "dots": tuple(f"{name}." for name in TEN_TWENTY_19),
    "10-10": tuple({"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}.get(n, n) for n in TEN_TWENTY_19),
    "zeros": tuple(f"EEG {name}".replace("O1", "01").replace("O2", "02") for name in TEN_TWENTY_19),
}


def _reader(data):
    return lambda start, stop: data[:, start:stop]


@pytest.mark.parametrize("names", SPELLINGS.values(), ids=SPELLINGS)
def test_the_average_reference_is_that_of_the_electrodes(names):
    """Whatever reference was recorded, in whatever order, with whatever beside it."""
    potentials = RNG.standard_normal((19, 500)) * 30
    order = RNG.permutation(19)
    recorded = np.concatenate([potentials[order] + RNG.standard_normal(500) * 100, RNG.standard_normal((2, 500))])
    signal = Signal(256.0, (*(names[i] for i in order), "EEG A1-REF", "EKG"))
    made = normaliser(signal, 500, "average")
    assert made.signal == Signal(256.0, TEN_TWENTY_19)
    got = made.read(_reader(recorded))
    np.testing.assert_allclose(got, potentials - potentials.mean(axis=0), atol=2e-5)


def test_the_banana_is_the_same_from_electrodes_and_from_derivations():
    potentials = dict(zip(TEN_TWENTY_19, RNG.standard_normal((19, 300)) * 30, strict=True))
    electrodes = normaliser(Signal(256.0, TEN_TWENTY_19), 300, "banana")
    unipolar = electrodes.read(_reader(np.array(list(potentials.values()))))
    new = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    names, rows = [], []
    for i, (anode, cathode) in enumerate(DOUBLE_BANANA):
        one, other = (anode, cathode) if i % 2 else (cathode, anode)  # half of them upside down
        names.append(f"{new.get(one, one)}-{new.get(other, other)}".upper())
        rows.append(potentials[one] - potentials[other])
    names.append("T7-FT9")
    rows.append(rows[0])
    derivations = normaliser(Signal(256.0, tuple(names)), 300, "banana")
    np.testing.assert_allclose(derivations.read(_reader(np.array(rows))), unipolar, atol=1e-4)
    assert derivations.signal.names == tuple(f"{a}-{b}" for a, b in DOUBLE_BANANA)


def test_a_derivation_that_was_stored_twice_is_taken_once():
    """MNE numbers the channels T8-P8 of CHB-MIT."""
    names = [f"{a}-{b}" for a, b in DOUBLE_BANANA]
    at = names.index("T4-T6")
    names[at] = "T8-P8-0"
    data = RNG.standard_normal((19, 50))
    made = normaliser(Signal(256.0, (*names, "T8-P8-1")), 50, "banana")
    np.testing.assert_allclose(made.read(_reader(data))[at], data[at], rtol=1e-6)


@pytest.mark.parametrize("sfreq", [200.0, 250.0, 256.0, 400.0, 500.0, 512.0, 1000.0, 1024.0])
def test_parts_are_the_same_numbers_as_the_whole(sfreq):
    n = 2000
    data = RNG.standard_normal((19, n)) * 50
    made = normaliser(Signal(sfreq, TEN_TWENTY_19), n, "average")
    whole = made.read(_reader(data))
    assert whole.shape == (19, made.n_samples)
    for start, stop in [(0, 1), (0, 17), (100, 103), (333, 500), (made.n_samples - 5, made.n_samples), (7, 7)]:
        np.testing.assert_array_equal(made.read(_reader(data), start, stop), whole[:, start:stop])


@pytest.mark.parametrize("sfreq", [200.0, 250.0, 400.0, 500.0, 512.0, 1000.0])
@pytest.mark.parametrize("hz", [0.0, 3.0, 20.0, 60.0])
def test_a_rhythm_keeps_its_size_and_its_time(sfreq, hz):
    """Sampled at 256 Hz without delay, as if it had been recorded so; an offset is exact."""
    n = round(8 * sfreq)
    names = TEN_TWENTY_19
    gain = np.where(np.arange(19) == 4, 18.0, -1.0)[:, None]  # the average of all is zero
    data = gain * np.cos(2 * np.pi * hz * np.arange(n) / sfreq)
    made = normaliser(Signal(sfreq, names), n, "average")
    got = made.read(_reader(data))[4]
    want = 18 * np.cos(2 * np.pi * hz * np.arange(made.n_samples) / 256)
    inside = slice(64, -64)
    np.testing.assert_allclose(got[inside], want[inside], atol=18 * (1e-6 if hz == 0 else 2e-3))


def test_what_is_above_the_new_nyquist_frequency_is_removed():
    n = 8 * 512
    gain = np.where(np.arange(19) == 4, 18.0, -1.0)[:, None]
    data = gain * np.cos(2 * np.pi * 150 * np.arange(n) / 512)
    got = normaliser(Signal(512.0, TEN_TWENTY_19), n, "average").read(_reader(data))
    assert np.abs(got[4, 64:-64]).max() < 18 * 1e-3


def test_an_electrode_that_is_missing_is_named():
    with pytest.raises(RecordingError, match=r"average reference needs electrodes .* lacks: Fz, Pz\. It has: Fp1"):
        normaliser(Signal(256.0, tuple(n for n in TEN_TWENTY_19 if n not in ("Fz", "Pz"))), 10, "average")
    with pytest.raises(RecordingError, match=r"double banana needs derivations .* lacks: Fz-Cz, Cz-Pz\. It has"):
        normaliser(Signal(256.0, tuple(n for n in TEN_TWENTY_19 if n != "Cz")), 10, "banana")


def test_an_electrode_that_is_there_twice_is_refused():
    with pytest.raises(RecordingError, match="must be recorded once, got 'T3' and 'EEG T7-REF'"):
        normaliser(Signal(256.0, (*TEN_TWENTY_19, "EEG T7-REF")), 10, "average")


def test_a_montage_and_a_rate_that_cannot_be():
    with pytest.raises(SpecError, match=r"montage out of average, banana, got 'laplace'"):
        normaliser(Signal(256.0, TEN_TWENTY_19), 10, "laplace")
    with pytest.raises(SpecError, match=r"ratio with terms up to 1000, got 255\.123 -> 256 Hz\. Use"):
        normaliser(Signal(255.123, TEN_TWENTY_19), 10, "average")
    with pytest.raises(RecordingError, match=r"must lie in \[0, 10\), got \[5, 11\)"):
        normaliser(Signal(256.0, TEN_TWENTY_19), 10, "average").read(_reader(np.zeros((19, 10))), 5, 11)


@pytest.mark.real
def test_real_headers_come_into_one_form(data_dir):
    """64 electrodes with dots in their names at 160 Hz; 19 and an EKG at 200 Hz; eyes closed give alpha at the back."""
    alpha = {}
    for path in (
        data_dir / "eegmmidb" / "S001R01.edf",
        data_dir / "eegmmidb" / "S001R02.edf",
        data_dir / "icu-background" / "epoch-1_start-00388s_eeg.edf",
    ):
        recording = open_recording(path)
        made = normaliser(recording.signal, recording.n_samples, "average")
        whole = made.read(recording.read)
        assert made.signal == Signal(256.0, TEN_TWENTY_19)
        assert abs(whole.shape[1] / 256 - recording.duration_s) < 1 / 256
        np.testing.assert_array_equal(made.read(recording.read, 5000, 5100), whole[:, 5000:5100])
        np.testing.assert_allclose(whole.sum(axis=0), 0, atol=0.05)
        power = np.abs(np.fft.rfft(whole[:, : 55 * 256] * np.hanning(55 * 256))) ** 2
        hz = np.fft.rfftfreq(55 * 256, 1 / 256)
        occipital = power[[TEN_TWENTY_19.index("O1"), TEN_TWENTY_19.index("O2")]].mean(axis=0)
        alpha[path.stem] = occipital[(hz > 8) & (hz < 13)].mean() / occipital[(hz > 14) & (hz < 30)].mean()
        recording.close()
    assert alpha["S001R02"] > 2 * alpha["S001R01"]
