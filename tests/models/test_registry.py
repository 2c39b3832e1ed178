"""What every model of the registry promises to trainers, engines and bundles."""

import re

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from models import registry
from models.layers import constrain_
from models.registry import ModelSpec, build, names, parameters

# One row a model: the arguments its documented parameter count is for.
SIGNAL = {"n_channels": 8, "n_times": 256, "sfreq": 256.0, "n_classes": 4}
FRAMES = {"n_channels": 19, "n_times": 129, "sfreq": 16.0, "n_classes": 2, "n_features": 64}
DOCUMENTED = {
    "eegnet": SIGNAL,
    "eegnet_ssvep": SIGNAL,
    "mel_cnn": FRAMES,
    "mel_cnn_reference": FRAMES,
    "mel_tcn": FRAMES,
    "tangent_cca": SIGNAL | {"n_channels": 24, "n_bands": 3, "freqs": (13.0, 21.0, 17.0)},
    "cca_net": SIGNAL | {"n_channels": 16, "n_bands": 2, "freqs": (13.0, 21.0, 17.0)},
    "lstm_attention": FRAMES,
    "transformer": FRAMES,
    "vit": FRAMES,
    "swin": FRAMES,
    "transformer_cnn": FRAMES,
    "inception_transformer": FRAMES,
    "mixnet": FRAMES,
    "mixnet_stacked": FRAMES,
    "grouped_cnn1d": SIGNAL,
    "seizure_segmenter": SIGNAL,
    "causal_segmenter": SIGNAL,
    "double_mel_mixnet": SIGNAL,
    "cwt_network": SIGNAL,
    "image_network": SIGNAL,
    "picture_network": SIGNAL,
    "band_power": SIGNAL | {"n_channels": 24, "n_bands": 3},
    "tangent_correlation": SIGNAL | {"n_channels": 24, "n_bands": 3},
    "spectrum_blocks": FRAMES,
}
# The laws do not need large windows; odd sizes meet every kind of padding.
FEW_FRAMES = {"n_channels": 5, "n_times": 45, "sfreq": 16.0, "n_classes": 3, "n_features": 18}
EXAMPLES = {name: FEW_FRAMES if row is FRAMES else row for name, row in DOCUMENTED.items()} | {
    "causal_segmenter": SIGNAL | {"n_times": 130},
    "seizure_segmenter": SIGNAL | {"n_times": 75},
    "double_mel_mixnet": SIGNAL | {"n_channels": 3, "n_bands": 8},
    "image_network": SIGNAL | {"n_channels": 3, "side": 30, "spectrograms": ("mel", "stft", "cwt")},
    "picture_network": SIGNAL | {"n_channels": 3, "side": 48},
}
NEEDS_A_PACKAGE = {"timm_backbone"}
"""Models that ``tests/models/test_timm_backbone.py`` tests, with a stand-in where the package is not."""
EAGER_ONLY = {"causal_segmenter", "tangent_cca"}
DRAWS_NOTHING = {"band_power", "spectrum_blocks", "tangent_cca", "tangent_correlation"}
"""Models whose weights come from a closed fit."""


def example(name: str) -> tuple[nn.Module, torch.Tensor]:
    """Return a model in evaluation mode, its norms warmed up, and a batch of 8."""
    torch.manual_seed(0)
    model = build(ModelSpec(name, EXAMPLES[name]))
    batch = torch.randn(8, *model.input_shape)
    if "n_features" in EXAMPLES[name]:
        batch = 30 + 20 * batch
    model.train()
    with torch.no_grad():
        model(batch)
        for parameter in model.parameters():  # no test may pass because a classifier starts at zero
            parameter.add_(0.01 * torch.randn_like(parameter))
    return model.eval(), batch


def test_every_model_has_an_example():
    assert set(EXAMPLES) | NEEDS_A_PACKAGE == set(names())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_same_seed_gives_the_same_weights(name):
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build(ModelSpec(name, EXAMPLES[name])).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    if name not in DRAWS_NOTHING:
        assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_model_is_built_without_memory_for_its_weights(name):
    """Bundles compare names and sizes with the file before memory is taken."""
    model, _ = example(name)
    with torch.device("meta"):
        empty = build(ModelSpec(name, EXAMPLES[name]))
    sizes = {key: value.shape for key, value in empty.state_dict().items()}
    assert sizes == {key: value.shape for key, value in model.state_dict().items()}
    empty.load_state_dict(model.state_dict(), assign=True)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in EAGER_ONLY])
def test_half_precision_by_autocast_stays_finite(name):
    """In training, with gradients, in bfloat16."""
    model, batch = example(name)
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch)
    assert torch.isfinite(logits).all()
    logits.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_models_say_what_they_read(name):
    """The input shape follows from the arguments, and what no compiler takes gives its reason."""
    model, _ = example(name)
    sizes = [EXAMPLES[name][key] for key in ("n_channels", "n_features", "n_times") if key in EXAMPLES[name]]
    assert model.input_shape == tuple(sizes)
    assert (name in EAGER_ONLY) == bool(getattr(model, "eager_only", ""))


@pytest.mark.parametrize("name", EXAMPLES)
def test_output_is_one_row_of_logits_a_window(name):
    model, batch = example(name)
    assert model(batch).shape == (8, EXAMPLES[name]["n_classes"])
    assert model(batch).dtype == torch.float32
    assert torch.isfinite(model(batch)).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_window_does_not_depend_on_its_batch(name):
    model, batch = example(name)
    torch.testing.assert_close(model(batch[3:4]), model(batch)[3:4], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", EXAMPLES)
def test_gradients_reach_every_trainable_parameter(name):
    model, batch = example(name)
    model.train()
    target = torch.arange(8) % EXAMPLES[name]["n_classes"]
    nn.functional.cross_entropy(model(batch), target).backward()
    for key, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", EXAMPLES)
def test_weights_travel_by_safetensors(name):
    model, batch = example(name)
    torch.manual_seed(1)
    other = build(ModelSpec.from_json(ModelSpec(name, EXAMPLES[name]).to_json()))
    other.load_state_dict(load(save(model.state_dict())))
    torch.testing.assert_close(other.eval()(batch), model(batch), rtol=0, atol=0)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_size_is_true(name):
    model = build(ModelSpec(name, DOCUMENTED[name]))
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    documented = re.search(r"([\d,]+)\s+parameters", registry._builder(name).__doc__)
    assert documented.group(1) == f"{count:,}"


@pytest.mark.parametrize("name", ["eegnet", "eegnet_ssvep"])
def test_constrained_layers_return_to_their_ball(name):
    model, _ = example(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(50)
    constrain_(model)
    bounded = [m for m in model.modules() if hasattr(m, "max_norm")]
    assert bounded
    for module in bounded:
        assert module.weight.flatten(1).norm(dim=1).max() <= module.max_norm * (1 + 1e-5)


# torch's LSTM keeps a list of its weights, which its own exporter remarks on
@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm._flat_weights:UserWarning")
@pytest.mark.parametrize("name", EXAMPLES)
def test_export_computes_the_same(name):
    model, batch = example(name)
    exported = torch.export.export(model, (batch[:1],)).module()
    torch.testing.assert_close(exported(batch[:1]), model(batch[:1]), rtol=1e-5, atol=1e-5)


def test_unknown_model_lists_the_closest():
    with pytest.raises(ValueError, match=r"No model is named 'egnet'\. Did you mean eegnet.*Models: eegnet,"):
        build(ModelSpec("egnet", {}))


def test_unknown_and_missing_arguments_name_what_the_builder_takes():
    with pytest.raises(
        ValueError, match=r"takes n_channels, n_times, .*; got unknown n_chans and missing n_channels\."
    ):
        build(ModelSpec("eegnet", {"n_chans": 8, "n_times": 256, "sfreq": 256.0, "n_classes": 4}))


@pytest.mark.parametrize("value", ["8", 8.0, True, None])
def test_an_argument_of_another_type_is_refused(value):
    with pytest.raises(ValueError, match=r"'n_channels' of model 'eegnet' must be of type int, got"):
        build(ModelSpec("eegnet", SIGNAL | {"n_channels": value}))


@pytest.mark.parametrize("value", [float("nan"), {"a": 1}, object(), [float("inf")]])
def test_a_spec_holds_only_what_strict_json_holds(value):
    with pytest.raises(ValueError, match="argument 'sfreq' must be a finite number, string, bool, None or a list"):
        ModelSpec("eegnet", SIGNAL | {"sfreq": value})


def test_a_spec_with_other_keys_is_refused():
    with pytest.raises(
        ValueError, match=r"needs the keys 'name' and 'arguments', got \['arguments', 'module', 'name'\]"
    ):
        ModelSpec.from_json('{"name": "eegnet", "arguments": {}, "module": "os:system"}')
    with pytest.raises(ValueError, match="needs the keys 'name' and 'arguments', got list"):
        ModelSpec.from_json("[]")
    with pytest.raises(ValueError, match="needs a string 'name' and an object 'arguments'"):
        ModelSpec.from_json('{"name": 1, "arguments": {}}')


def test_a_spec_is_a_value():
    arguments = {"n_channels": 8, "freqs": [13.0, 21.0]}
    spec = ModelSpec("eegnet", arguments)
    arguments["n_channels"] = 9
    assert spec.arguments["n_channels"] == 8
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_parameters_tell_which_input_a_model_takes():
    assert "n_features" in parameters("mel_cnn")
    assert "n_features" not in parameters("eegnet")


def test_a_window_shorter_than_the_poolings_is_refused():
    with pytest.raises(ValueError, match=r"at least pool_1 \* pool_2 = 32 samples, got n_times=31"):
        build(ModelSpec("eegnet", SIGNAL | {"n_times": 31}))
