"""The filter bank against formulas written out here and against published values."""

import numpy as np
import pytest

from models.filterbank import empty_filters, hz_to_mel, mel_centres, mel_filterbank, mel_to_hz


def reference_bank(sfreq, n_fft, n_mels, low_hz, high_hz, scale):
    """Return the bank bin by bin, as textbooks write it."""
    if scale == "htk":
        to_mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
        to_hz = lambda m: 700 * (10 ** (m / 2595) - 1)  # noqa: E731
    else:
        to_mel = lambda f: 3 * f / 200 if f < 1000 else 15 + 27 * np.log(f / 1000) / np.log(6.4)  # noqa: E731
        to_hz = lambda m: 200 * m / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)  # noqa: E731
    step = (to_mel(high_hz) - to_mel(low_hz)) / (n_mels + 1)
    corners = [to_hz(to_mel(low_hz) + k * step) for k in range(n_mels + 2)]
    bank = np.zeros((n_mels, n_fft // 2 + 1))
    for m in range(n_mels):
        left, top, right = corners[m : m + 3]
        for k in range(n_fft // 2 + 1):
            hz = k * sfreq / n_fft
            if left < hz <= top:
                bank[m, k] = (hz - left) / (top - left)
            elif top < hz < right:
                bank[m, k] = (right - hz) / (right - top)
    return bank, np.array(corners)


SIZES = [(200, 512, 64, 0.53, 30), (256, 512, 64, 0.5, 40), (128, 256, 32, 0.5, 60), (16000, 512, 40, 20, 8000)]


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("size", SIZES)
def test_bank_is_the_textbook_bank(size, scale):
    expected, corners = reference_bank(*size, scale)
    np.testing.assert_allclose(mel_centres(*size[2:], scale), corners[1:-1], rtol=1e-12)
    np.testing.assert_allclose(mel_filterbank(*size, scale=scale), expected, rtol=1e-9, atol=1e-12)
    area = 2 / (corners[2:] - corners[:-2])
    normed = mel_filterbank(*size, scale=scale, norm="slaney")
    np.testing.assert_allclose(normed, expected * area[:, None], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("hz", "mel"), [(60, 0.9), (1000, 15.0), (110, 1.65), (440, 6.6), (220, 3.3), (2000, 25.08)])
def test_slaney_scale_has_the_published_values(hz, mel):
    """Values of librosa's documentation, and 2 kHz by hand."""
    assert hz_to_mel(hz, "slaney") == pytest.approx(mel, abs=0.005)


def test_htk_scale_puts_1000_mel_at_1_khz():
    assert hz_to_mel(1000.0) == pytest.approx(999.9855, abs=1e-3)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_inverted(scale):
    hz = np.geomspace(0.1, 20000, 200)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, rtol=1e-12)


def test_filters_between_two_bins_are_listed():
    assert empty_filters(mel_filterbank(256, 512, 64, 0.5, 40)).size == 0
    bank = mel_filterbank(256, 128, 64, 0.5, 40)
    rows = empty_filters(bank)
    assert rows.size > 0
    assert (bank[rows] == 0).all()


@pytest.mark.parametrize(
    ("n_fft", "n_mels", "n_single", "n_empty", "step_db"),
    [(128, 64, 50, 0, 5.0), (128, 40, 2, 0, 0.2), (256, 64, 0, 0, 0.5), (64, 64, 39, 25, None)],
)
def test_bands_finer_than_bins_give_a_flat_spectrum_stripes(n_fft, n_mels, n_single, n_empty, step_db):
    """The numbers in docs/models.md: 1 to 40 Hz at 128 Hz."""
    bank = mel_filterbank(128, n_fft, n_mels, 1.0, 40.0)
    assert int(((bank > 0).sum(axis=1) == 1).sum()) == n_single
    assert empty_filters(bank).size == n_empty
    if step_db is not None:
        assert np.abs(np.diff(10 * np.log10(bank.sum(axis=1)))).max() == pytest.approx(step_db, abs=0.05)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(0.5, 101), (-1, 30), (30, 30), (float("nan"), 30)])
def test_range_outside_nyquist_names_the_limit(low_hz, high_hz):
    with pytest.raises(ValueError, match=r"needs 0 <= low_hz < high_hz <= 100 Hz \(Nyquist\), got low_hz="):
        mel_filterbank(200, 512, 64, low_hz, high_hz)


def test_unknown_choices_and_sizes_are_refused():
    with pytest.raises(ValueError, match="scale must be 'htk' or 'slaney', got 'bark'"):
        mel_filterbank(200, 512, 64, 1, 30, scale="bark")
    with pytest.raises(ValueError, match="scale must be 'htk' or 'slaney', got 'bark'"):
        mel_to_hz(1.0, "bark")
    with pytest.raises(ValueError, match="norm must be None or 'slaney', got 'l2'"):
        mel_filterbank(200, 512, 64, 1, 30, norm="l2")
    with pytest.raises(ValueError, match="n_fft >= 2 and n_mels >= 1, got n_fft=512, n_mels=0"):
        mel_filterbank(200, 512, 0, 1, 30)
