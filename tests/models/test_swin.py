"""Window attention: who sees whom, by the definition, and what the hierarchy does to the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.swin import PatchMerge, SwinBlock, WindowPlan, swin

GRIDS = [(8, 8), (8, 12), (5, 9), (3, 10), (2, 2), (4, 7)]


def sees(grid: tuple[int, int], window: int, shifted: bool) -> np.ndarray:
    """Return which token sees which by the definition: their windows, moved and never wrapped, are the same."""
    labels = []
    for n in grid:
        side = min(window, n)
        whole = -(-n // side) * side
        shift = side // 2 if shifted and whole > side else 0
        labels.append(np.floor((np.arange(n) - shift) / side).astype(int))
    of_token = [(row, column) for row in labels[0] for column in labels[1]]
    return np.array([[a == b for b in of_token] for a in of_token])


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_token_sees_exactly_its_window(grid, shifted):
    """Measured by gradients; padding to whole windows and the wrap-around of the shift are never seen."""
    torch.manual_seed(0)
    plan = WindowPlan(grid, 4, shifted)
    block = SwinBlock(plan, 8, 2, 2, 0.0).double()
    x = torch.randn(1, *grid, 8, dtype=torch.float64, requires_grad=True)
    y = block(x).reshape(-1, 8)
    seen = [torch.autograd.grad(row.sum(), x, retain_graph=True)[0].abs().sum(dim=-1).flatten() > 1e-12 for row in y]
    np.testing.assert_array_equal(torch.stack(seen).numpy(), sees(grid, 4, shifted))


def test_a_block_is_attention_within_each_window():
    """An unshifted window is what the encoder block gives for its tokens alone, with a bias for each distance."""
    torch.manual_seed(0)
    block = SwinBlock(WindowPlan((4, 6), 2, False), 8, 2, 2, 0.0).double()
    x = torch.randn(3, 4, 6, 8, dtype=torch.float64)
    at = [(i, j) for i in range(2) for j in range(2)]
    bias = torch.stack(
        [torch.stack([block.distance[(a - c + 1) * 3 + b - d + 1] for c, d in at]) for a, b in at]
    ).permute(2, 0, 1)
    y = block(x)
    for i in range(0, 4, 2):
        for j in range(0, 6, 2):
            alone = block.block(x[:, i : i + 2, j : j + 2].flatten(1, 2), bias)
            torch.testing.assert_close(y[:, i : i + 2, j : j + 2].flatten(1, 2), alone)


def test_shifting_joins_what_windows_divide():
    """Two blocks, plain and shifted, reach over the border between windows; two plain ones never do."""
    plain, shifted = sees((8, 8), 4, False), sees((8, 8), 4, True)
    assert ((plain @ shifted) > plain).any()
    np.testing.assert_array_equal(plain @ plain, plain)


def test_merging_takes_two_by_two():
    torch.manual_seed(0)
    merge = PatchMerge(4).double()
    x = torch.randn(2, 5, 7, 4, dtype=torch.float64)
    y = merge(x)
    assert y.shape == (2, 3, 4, 8)
    corners = torch.cat([x[:, 2, 4], x[:, 3, 4], x[:, 2, 5], x[:, 3, 5]], dim=-1)
    torch.testing.assert_close(y[:, 1, 2], merge.reduce(merge.norm(corners)))
    edge = torch.cat([x[:, 4, 6], torch.zeros(2, 12, dtype=torch.float64)], dim=-1)
    torch.testing.assert_close(y[:, 2, 3], merge.reduce(merge.norm(edge)))


def test_stages_halve_the_map_and_double_its_channels():
    model = swin(n_channels=3, n_times=40, sfreq=16.0, n_classes=2, n_features=32, patch=2, width=8)
    maps = []
    for stage in model.stages:
        stage.register_forward_hook(lambda module, inputs, output: maps.append(tuple(output.shape[1:])))
    model.eval()(torch.randn(1, 3, 32, 40))
    assert maps == [(16, 20, 8)] * 2 + [(8, 10, 16)] * 3 + [(4, 5, 32)] * 3
    assert [stage.plan.shift for stage in model.stages if isinstance(stage, SwinBlock)][:2] == [(0, 0), (2, 2)]


def test_stages_without_heads_are_refused():
    with pytest.raises(ValueError, match=r"as many n_heads as depths.* got depths=\(2, 2\), n_heads=\(2,\)"):
        swin(3, 40, 16.0, 2, 32, depths=(2, 2), n_heads=(2,))
