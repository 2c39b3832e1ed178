"""The double mel spectrogram: the columns of the recipe, and where they come from."""

from __future__ import annotations

import pytest
import torch

from models.double_mel import DoubleMelFrontEnd, double_mel_mixnet
from models.images import chains
from models.logmel import LogMelFrontEnd


def test_columns_of_the_recipe():
    """50 s at 200 Hz in 16 chains: 64 mels, 247 columns of context around 597 of the middle 12 s."""
    model = double_mel_mixnet(16, 10_000, 200.0, 6)
    front = model.front_end
    sizes = [(part.n_fft, part.win_length, part.hop_length, part.n_features) for part in (front.context, front.centre)]
    assert sizes == [(512, 128, 32, 64), (2048, 16, 4, 64)]
    assert front.centre_times == 2400
    assert front.n_frames(10_000) == (309 - 62) + 597 == 844
    assert model.network.input_shape == (16, 64, 844)


def test_the_middle_is_replaced_and_the_rest_stays():
    torch.manual_seed(0)
    x = 20 * torch.randn(2, 3, 1000)
    context = LogMelFrontEnd(100.0, 64, 50, 10, 8, 1.0, 30.0)
    centre = LogMelFrontEnd(100.0, 128, 20, 4, 8, 1.0, 30.0)
    front = DoubleMelFrontEnd(context, centre, 240)
    features = front(x)
    wide, sharp = context(x), centre(x[..., 380:620])
    assert features.shape == (2, 3, 8, front.n_frames(1000)) == (2, 3, 8, 96 - 19 + 56)
    torch.testing.assert_close(features[..., :38], wide[..., :38], rtol=0, atol=0)
    torch.testing.assert_close(features[..., 38:94], sharp, rtol=0, atol=0)
    torch.testing.assert_close(features[..., 94:], wide[..., 57:], rtol=0, atol=0)


def test_what_is_replaced_lies_within_what_is_sharper():
    """No moment is lost: the middles of the frames that give way lie inside the stretch that the second reads."""
    front = double_mel_mixnet(4, 10_000, 200.0, 6).front_end
    before, after = front.cut(309)
    middle = [j * 32 + 64 for j in (before, after - 1)]
    assert (10_000 - 2400) // 2 < middle[0] < middle[1] < (10_000 + 2400) // 2


def test_bands_must_agree():
    context, centre = (LogMelFrontEnd(100.0, 64, 50, 10, n, 1.0, 30.0) for n in (8, 9))
    with pytest.raises(ValueError, match=r"as many bands, got 8 and 9\. Use one n_mels"):
        DoubleMelFrontEnd(context, centre, 240)


def test_neighbours_stay_in_their_chain():
    assert chains(8, 4) == ((1,), (0, 2), (1, 3), (2,), (5,), (4, 6), (5, 7), (6,))
    assert chains(5, 4)[3:] == ((2,), ())
