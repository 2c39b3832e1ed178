"""Backbones of timm: what the package is asked, what is done with its maps. A stand-in serves where it is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from models.layers import GeMPool
from models.registry import ModelSpec, build

FRAMES = {"n_channels": 4, "n_times": 20, "sfreq": 16.0, "n_classes": 3, "n_features": 10}


class SmallMaps(nn.Sequential):
    """A convolution that says how many maps it gives, as timm's models do."""

    num_features = 6

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())


class WidenedMaps(SmallMaps):
    """The same, with fewer maps before the last layer, as a MobileNet."""

    num_features = 4
    head_hidden_size = 6


@pytest.fixture
def asked(monkeypatch):
    """Stand in for timm, and return what its `create_model` was asked."""
    calls = []

    def create_model(name, **arguments):
        calls.append((name, arguments))
        made = {"tokens": lambda: nn.Sequential(SmallMaps(), nn.Flatten(2)), "widened": WidenedMaps}
        return made.get(name, SmallMaps)()

    made = SimpleNamespace(
        __version__="1.0.0", create_model=create_model, is_model=lambda name: name in ("mixnet_s", "tokens", "widened")
    )
    monkeypatch.setitem(sys.modules, "timm", made)
    return calls


def test_maps_of_the_stacked_image_are_pooled(asked):
    torch.manual_seed(0)
    model = build(ModelSpec("timm_backbone", FRAMES | {"drop_path": 0.1})).eval()
    x = 30 + 20 * torch.randn(2, 4, 10, 20)
    maps = model.backbone(model.image((x - 30) / 20))
    assert maps.shape == (2, 6, 20, 10)
    torch.testing.assert_close(model(x), model.head(GeMPool()(maps)))
    name, arguments = asked[0]
    assert name == "mixnet_s"
    assert arguments == {
        "pretrained": False, "in_chans": 3, "num_classes": 0, "global_pool": "", "drop_path_rate": 0.1
    }  # fmt: skip


def test_the_classifier_reads_all_maps_of_the_last_layer(asked):
    model = build(ModelSpec("timm_backbone", FRAMES | {"backbone": "widened"})).eval()
    assert model(torch.zeros(2, 4, 10, 20)).shape == (2, 3)


def test_an_unknown_backbone_is_refused(asked):
    with pytest.raises(ValueError, match=r"timm 1\.0\.0 has no model 'mixnet_q'\. Its list: timm\.list_models"):
        build(ModelSpec("timm_backbone", FRAMES | {"backbone": "mixnet_q"}))


def test_a_backbone_without_maps_is_refused(asked, monkeypatch):
    monkeypatch.setattr(nn.Sequential, "num_features", 6, raising=False)
    model = build(ModelSpec("timm_backbone", FRAMES | {"backbone": "tokens"}))
    with pytest.raises(ValueError, match=r"must give maps of shape .*, got \(1, 6, 200\)\. Use a convolutional one"):
        model(torch.zeros(1, 4, 10, 20))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match=r"needs the package timm, which is not installed\. Install it: pip install"):
        build(ModelSpec("timm_backbone", FRAMES))


def test_the_package_itself():
    """With timm: documented size, export, and a window that does not depend on its batch."""
    pytest.importorskip("timm", reason="needs the extra timm", exc_type=ImportError)
    model = build(ModelSpec("timm_backbone", FRAMES | {"n_classes": 2})).eval()
    assert sum(p.numel() for p in model.parameters()) == 2_600_681
    x = 30 + 20 * torch.randn(3, 4, 10, 20)
    torch.testing.assert_close(model(x[:1]), model(x)[:1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x), rtol=1e-4, atol=1e-4)
