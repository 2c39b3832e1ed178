"""Models by name: what a bundle stores of an architecture, and how it is built again."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from torch import nn

# Fixed table: a file can name a row of it, never a module.
_BUILDERS = {
    "eegnet": "models.eegnet:eegnet",
    "eegnet_ssvep": "models.eegnet:eegnet_ssvep",
    "mel_cnn": "models.mel_cnn:mel_cnn",
    "mel_cnn_reference": "models.mel_cnn:mel_cnn_reference",
    "mel_tcn": "models.mel_tcn:mel_tcn",
    "tangent_cca": "models.riemann:tangent_cca",
    "cca_net": "models.cca_net:cca_net",
    "lstm_attention": "models.lstm_attention:lstm_attention",
    "transformer": "models.transformer:transformer",
    "vit": "models.vit:vit",
    "swin": "models.swin:swin",
    "transformer_cnn": "models.transformer_cnn:transformer_cnn",
    "inception_transformer": "models.inception_transformer:inception_transformer",
    "mixnet": "models.mixnet:mixnet",
    "mixnet_stacked": "models.mixnet:mixnet_stacked",
    "grouped_cnn1d": "models.grouped_cnn1d:grouped_cnn1d",
    "seizure_segmenter": "models.seizure_segmenter:seizure_segmenter",
    "causal_segmenter": "models.causal_segmenter:causal_segmenter",
    "timm_backbone": "models.timm_backbone:timm_backbone",
    "double_mel_mixnet": "models.double_mel:double_mel_mixnet",
    "cwt_network": "models.spectrogram_network:cwt_network",
    "image_network": "models.spectrogram_network:image_network",
    "picture_network": "models.spectrogram_network:picture_network",
    "band_power": "models.band_features:band_power",
    "tangent_correlation": "models.band_features:tangent_correlation",
    "spectrum_blocks": "models.spectrum_blocks:spectrum_blocks",
}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Name of an architecture and the numbers it is built with.

    Parameters
    ----------
    name : str
        A name from `names`.
    arguments : mapping of str to number, string, bool, None or list of them
        Arguments of the builder. They are copied; sequences become tuples.

    Raises
    ------
    ValueError
        If an argument cannot be stored as strict JSON.
    """

    name: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        plain = {key: _plain(value, f"argument {key!r}") for key, value in self.arguments.items()}
        object.__setattr__(self, "arguments", types.MappingProxyType(plain))

    def to_json(self) -> str:
        """Return the spec as strict JSON text, with sorted keys."""
        content = {"name": self.name, "arguments": dict(self.arguments)}
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read a spec from the text that `to_json` wrote.

        Raises
        ------
        ValueError
            If the text is not JSON or has other keys than ``name`` and ``arguments``.
        """
        content = json.loads(text)
        if not (isinstance(content, dict) and set(content) == {"name", "arguments"}):
            got = sorted(content) if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"A model spec needs the keys 'name' and 'arguments', got {got}.")
        if not (isinstance(content["name"], str) and isinstance(content["arguments"], dict)):
            raise ValueError("A model spec needs a string 'name' and an object 'arguments'.")
        return cls(content["name"], content["arguments"])


def names() -> tuple[str, ...]:
    """Return the names of all models."""
    return tuple(_BUILDERS)


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """Return what the builder of a model takes, in order.

    Parameters
    ----------
    name : str
        A name from `names`.

    Returns
    -------
    parameters : mapping of str to inspect.Parameter
        Name, type and default of every argument; those without default are required. A model with ``n_features``
        takes log-mel frames, one without takes signals.
    """
    return inspect.signature(_builder(name), eval_str=True).parameters


def build(spec: ModelSpec) -> nn.Module:
    """Return a new model with fresh weights.

    Parameters
    ----------
    spec : ModelSpec
        Name and arguments.

    Returns
    -------
    model : nn.Module
        In training mode. ``model.input_shape`` is the shape of one window, without the batch axis;
        ``model.eager_only``, where there is one, says why the model cannot be converted to ONNX. A model with ``step``
        is served frame by frame with its state, see `models.causal`. One with ``segment`` gives logits for every
        column of a window, (batch, n_classes, n_times), and can be taught each of them.

    Raises
    ------
    ValueError
        If the name is unknown, or an argument is missing, unknown or of another type.
    """
    builder = _builder(spec.name)
    wanted = inspect.signature(builder, eval_str=True).parameters
    unknown = sorted(set(spec.arguments) - set(wanted))
    missing = [
        name for name, p in wanted.items() if p.default is inspect.Parameter.empty and name not in spec.arguments
    ]
    if unknown or missing:
        found = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"missing {', '.join(missing)}"] * bool(missing)
        raise ValueError(f"Model {spec.name!r} takes {', '.join(wanted)}; got {' and '.join(found)}.")
    for name, value in spec.arguments.items():
        if not _matches(value, wanted[name].annotation):
            raise ValueError(
                f"Argument {name!r} of model {spec.name!r} must be of type "
                f"{inspect.formatannotation(wanted[name].annotation)}, got {value!r}."
            )
    return builder(**spec.arguments)


def _builder(name: str) -> Callable[..., nn.Module]:
    if name not in _BUILDERS:
        close = difflib.get_close_matches(name, _BUILDERS, n=3)
        hint = f"Did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(f"No model is named {name!r}. {hint}Models: {', '.join(_BUILDERS)}.")
    module, function = _BUILDERS[name].split(":")
    return getattr(importlib.import_module(module), function)


def _plain(value: Any, what: str) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(item, what) for item in value)
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"{what} must be a finite number, string, bool, None or a list of them, got {value!r}.")


def _matches(value: Any, annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(_matches(value, option) for option in get_args(annotation))
    if origin is tuple:
        return isinstance(value, tuple) and all(_matches(item, get_args(annotation)[0]) for item in value)
    if annotation is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return value is None if annotation in (None, type(None)) else isinstance(value, annotation)
