"""Attention, the encoder and the networks on it, against torch's own layers and against formulas written out here."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.attention import Encoder, EncoderBlock, SelfAttention
from models.lstm_attention import lstm_attention
from models.transformer import transformer
from models.transformer_cnn import transformer_cnn
from models.vit import vit

FRAMES = {"n_channels": 3, "n_times": 21, "sfreq": 16.0, "n_classes": 2, "n_features": 10}


def block_of_torch(block: EncoderBlock, width: int, n_heads: int) -> nn.Module:
    """Return torch's encoder layer with the weights of ours."""
    other = nn.TransformerEncoderLayer(
        width, n_heads, 2 * width, 0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    with torch.no_grad():
        other.self_attn.in_proj_weight.copy_(block.attention.project.weight)
        other.self_attn.in_proj_bias.zero_()
    other.self_attn.out_proj.load_state_dict(block.attention.merge.state_dict())
    other.norm1.load_state_dict(block.norm_1.state_dict())
    other.norm2.load_state_dict(block.norm_2.state_dict())
    other.linear1.load_state_dict(block.perceptron[0].state_dict())
    other.linear2.load_state_dict(block.perceptron[2].state_dict())
    return other


def test_a_block_is_torchs_encoder_layer():
    torch.manual_seed(0)
    block = EncoderBlock(24, 4).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    expected = block_of_torch(block, 24, 4).train()(x)  # in training mode: no fused path
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)


def test_a_bias_is_added_to_the_scores():
    torch.manual_seed(0)
    attention = SelfAttention(8, 2).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    bias = torch.randn(2, 2, 5, 5, dtype=torch.float64)
    query, key, value = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in attention.split(x))
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    torch.testing.assert_close(attention(x, bias), attention.merge(mixed.transpose(1, 2).flatten(2)))


def test_a_hook_reads_the_attention():
    seen = []
    encoder = Encoder(6, 8, 2, 3)
    for block in encoder.blocks:
        block.attention.softmax.register_forward_hook(lambda module, inputs, output: seen.append(output))
    encoder(torch.randn(4, 6, 8))
    assert [tuple(weights.shape) for weights in seen] == [(4, 2, 6, 6)] * 3
    for weights in seen:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, 2, 6))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"a width that n_heads divides, got width=10, n_heads=4\. Change one"):
        SelfAttention(10, 4)


@pytest.mark.parametrize("builder", [transformer, transformer_cnn, vit])
def test_order_in_time_matters(builder):
    torch.manual_seed(0)
    model = builder(**FRAMES).eval()
    with torch.no_grad():
        model.encoder.positions.normal_()
    x = 30 + 20 * torch.randn(1, 3, 10, 21)
    assert (model(x) - model(x.flip(-1))).abs().max() > 1e-4


def test_a_transformer_averages_its_frames():
    torch.manual_seed(0)
    model = transformer(**FRAMES).eval()
    x = 30 + 20 * torch.randn(2, 3, 10, 21)
    frames = torch.stack([(x[..., i].flatten(1) - 30) / 20 for i in range(21)], dim=1)
    tokens = model.encoder.norm(model.encoder.blocks(model.project(frames) + model.encoder.positions))
    torch.testing.assert_close(model(x), model.head(tokens.mean(dim=1)))


def test_lstm_frames_are_weighed_by_their_score():
    torch.manual_seed(0)
    model = lstm_attention(**FRAMES).eval()
    weights = []
    model.softmax.register_forward_hook(lambda module, inputs, output: weights.append(output))
    x = 30 + 20 * torch.randn(2, 3, 10, 21)
    logits = model(x)
    hidden, _ = model.lstm(model.project(((x - 30) / 20).permute(0, 3, 1, 2).reshape(2, 21, 30)))
    score = (hidden * model.score.weight[0]).sum(dim=-1).exp()
    score = score / score.sum(dim=1, keepdim=True)
    torch.testing.assert_close(weights[0][..., 0], score)
    torch.testing.assert_close(logits, model.head(torch.einsum("bt,bth->bh", score, hidden)))


def test_a_vit_token_is_its_patch():
    """Projected patches equal a loop over them, with the padding above the highest features and before the start."""
    torch.manual_seed(0)
    model = vit(**FRAMES, patch_features=4, patch_times=8).eval()
    tokens = []
    model.encoder.register_forward_hook(lambda module, inputs, output: tokens.append(inputs[0]))
    x = 30 + 20 * torch.randn(2, 3, 10, 21)
    model(x)
    assert model.grid == (3, 3)
    whole = torch.zeros(2, 3, 12, 24)
    whole[:, :, :10, 3:] = (x - 30) / 20
    weight = model.patches.weight.flatten(1)
    for i in range(3):
        for j in range(3):
            patch = whole[:, :, 4 * i : 4 * i + 4, 8 * j : 8 * j + 8].flatten(1)
            torch.testing.assert_close(tokens[0][:, 1 + 3 * i + j], patch @ weight.T + model.patches.bias)
    torch.testing.assert_close(tokens[0][:, 0], model.class_token[0].expand(2, -1))
