"""A trained model as a directory: written at once, checked before use, nothing in it is ever executed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bci.bundle_limits import check_counts, check_names, check_size, check_window, sha256_of
from bci.decision import DecisionSpec
from bci.errors import BundleError, SchemaError, SpecError
from bci.pipeline import PipelineSpec
from bci.records import json_object, to_json
from models.registry import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

SCHEMA = 1
FILES = (
    "pipeline.json",
    "model.json",
    "weights.safetensors",
    "decision.json",
    "golden.safetensors",
    "metrics.json",
    "card.md",
)
"""Every file of a bundle besides ``manifest.json``, which holds their hashes."""

MANIFEST_KEYS = ("schema", "name", "created", "packages", "training", "pipeline_sha256", "files")

SHIPPED = Path(__file__).resolve().parent.parent / "models" / "bundles"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle.

    Parameters
    ----------
    path : Path
        Its directory.
    sha256 : str
        Hash of the manifest, which holds the hashes of all files.
    name : str
        Its name.
    manifest : mapping
        Versions, origin of the training data, file hashes.
    pipeline : PipelineSpec
    model : ModelSpec
    decision : DecisionSpec
    """

    path: Path
    sha256: str
    name: str
    manifest: Mapping[str, Any]
    pipeline: PipelineSpec
    model: ModelSpec
    decision: DecisionSpec

    def network(self) -> nn.Module:
        """Build the network and load its weights.

        Raises
        ------
        SchemaError
            If the model is unknown or the weights do not fit it.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from models.registry import build

        try:
            weights = load_file(self.path / "weights.safetensors")
            with torch.device("meta"):  # names and sizes must agree before memory is taken for them
                build(self.model).load_state_dict(weights, assign=True)
            network = build(self.model)
            network.load_state_dict(weights)
        except (ValueError, RuntimeError, SafetensorError) as error:
            first = " ".join(str(error).split())
            raise SchemaError(
                f"{self.name}: weights.safetensors does not fit model.json ({self.model.name}): {first[:300]}"
            ) from error
        return network.eval()

    def golden(self) -> dict[str, np.ndarray]:
        """Return the arrays of the golden run.

        Raises
        ------
        SchemaError
            If the file does not hold arrays.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self.path / "golden.safetensors")
        except (SafetensorError, LookupError, TypeError) as error:  # the last two: a number format that numpy lacks
            raise SchemaError(
                f"{self.name}: golden.safetensors must hold arrays of numbers: {error}. Train the bundle again."
            ) from error

    @property
    def engine_key(self) -> str:
        """Hash of the network's structure and weights."""
        hashes = self.manifest["files"]
        return hashlib.sha256((hashes["model.json"] + hashes["weights.safetensors"]).encode()).hexdigest()


def find_bundle(name: str) -> Path:
    """Return the directory of a bundle given as a path or as the name of a shipped one.

    Raises
    ------
    BundleError
        If there is neither; the message lists the shipped bundles.
    """
    if Path(name).is_dir():
        return Path(name)
    shipped = sorted(p.name for p in SHIPPED.iterdir() if (p / "manifest.json").is_file()) if SHIPPED.is_dir() else []
    if name in shipped:
        return SHIPPED / name
    raise BundleError(
        f"There is no bundle {name!r}: neither a directory nor a shipped bundle. "
        f"Shipped: {', '.join(shipped) or 'none'}."
    )


def load_bundle(path: Path) -> Bundle:
    """Check a bundle's files and read its settings; `bci.golden` checks what it computes.

    Raises
    ------
    BundleError
        If a file is missing or was changed.
    SchemaError
        If a file's contents are unknown, malformed or do not fit each other.
    """
    manifest_file = path / "manifest.json"
    if not manifest_file.is_file():
        raise BundleError(f"{path} is not a bundle: it has no manifest.json. Make one with bci-train.")
    check_size(manifest_file)
    text = manifest_file.read_bytes()
    try:
        manifest = json_object(text.decode(), "manifest.json")
    except (SpecError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path.name}: {error}") from error
    _check_manifest(manifest, path.name)
    for name in FILES:
        _check_file(path / name, manifest["files"][name])
    try:
        pipeline = PipelineSpec.from_json((path / "pipeline.json").read_text(encoding="utf-8"))
        decision = DecisionSpec.from_json((path / "decision.json").read_text(encoding="utf-8"))
        model = ModelSpec.from_json((path / "model.json").read_text(encoding="utf-8"))
        check_counts(pipeline, len(decision.classes), path.name)
        running = pipeline.build()  # each stage checks its settings against the signal that reaches it
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{path.name}: {error}") from error
    if pipeline.sha256() != manifest["pipeline_sha256"]:
        raise SchemaError(
            f"{path.name}: pipeline.json reads as another pipeline than the one that was trained: its hash is "
            f"{pipeline.sha256()[:12]}…, the manifest says {str(manifest['pipeline_sha256'])[:12]}…. "
            "Use the toolkit version that wrote it, or train the bundle again."
        )
    check_window(running, path.name)
    for what, found in (("class", decision.classes), ("channel", pipeline.signal.names)):
        check_names(what, found, path.name)
    digest = hashlib.sha256(text).hexdigest()
    return Bundle(path, digest, manifest["name"], manifest, pipeline, model, decision)


def write_bundle(
    path: Path,
    *,
    pipeline: PipelineSpec,
    model: ModelSpec,
    network: nn.Module,
    decision: DecisionSpec,
    golden: Mapping[str, np.ndarray],
    metrics: Mapping[str, Any],
    card: str,
    training: Mapping[str, Any],
    created: str,
) -> Bundle:
    """Write a bundle: all of it or nothing.

    Parameters
    ----------
    path : Path
        Directory to make; an existing bundle there is replaced.
    pipeline, model, decision
        Settings.
    network : Module
        Network with its weights.
    golden : mapping of str to ndarray
        From `bci.golden.record`.
    metrics : mapping
        Honest figures; goes to ``metrics.json``.
    card : str
        Model card, in Markdown.
    training : mapping
        Where it comes from: dataset, split, seed, command.
    created : str
        Time of writing, ISO 8601.

    Returns
    -------
    bundle : Bundle
        Read back from the disk.

    Raises
    ------
    BundleError
        If `path` holds something else than an intact bundle.
    """
    from safetensors.numpy import save_file as save_arrays
    from safetensors.torch import save_file as save_tensors

    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    replaced = scratch.with_name(f"{scratch.name}.old")
    try:
        save_tensors({k: v.detach().contiguous() for k, v in network.state_dict().items()}, scratch / FILES[2])
        save_arrays(dict(golden), scratch / "golden.safetensors")
        texts = {
            "pipeline.json": pipeline.to_json(),
            "model.json": model.to_json(),
            "decision.json": decision.to_json(),
            "metrics.json": to_json(metrics),
            "card.md": card,
        }
        for name, text in texts.items():
            (scratch / name).write_text(text, encoding="utf-8")
        manifest = {
            "schema": SCHEMA,
            "name": path.name,
            "created": created,
            "packages": _versions(),
            "training": dict(training),
            "pipeline_sha256": pipeline.sha256(),
            "files": {name: hashlib.sha256((scratch / name).read_bytes()).hexdigest() for name in FILES},
        }
        (scratch / "manifest.json").write_text(to_json(manifest), encoding="utf-8")
        os.chmod(scratch, 0o755)
        for file in scratch.iterdir():
            os.chmod(file, 0o644)  # safetensors makes them private
        load_bundle(scratch)
        if path.exists():
            os.replace(path, replaced)  # a full folder cannot be replaced at once
        os.replace(scratch, path)
    finally:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        for rest in (scratch, replaced):
            shutil.rmtree(rest, ignore_errors=True)
    return load_bundle(path)


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    try:
        load_bundle(path)
    except BundleError as error:
        raise BundleError(
            f"A bundle needs a new folder, or one with an intact bundle to replace, got {path}: {error} "
            "Choose another place, or move that one away."
        ) from error


def _check_manifest(manifest: Mapping[str, Any], where: str) -> None:
    if manifest.get("schema") != SCHEMA:
        raise SchemaError(
            f"{where}: manifest.json has schema {manifest.get('schema')!r}, this version reads schema {SCHEMA}. "
            "Update the toolkit, or train the bundle again."
        )
    if set(manifest) != set(MANIFEST_KEYS):
        raise SchemaError(
            f"{where}: manifest.json needs the keys {', '.join(MANIFEST_KEYS)}, got {', '.join(sorted(manifest))}. "
            "Train the bundle again."
        )
    files = manifest["files"]
    if not isinstance(manifest["name"], str) or not isinstance(files, dict) or set(files) != set(FILES):
        raise SchemaError(f"{where}: manifest.json must name the bundle and hash exactly {', '.join(FILES)}.")
    check_names("bundle's name", [manifest["name"]], where)


def _check_file(file: Path, wanted: object) -> None:
    if not file.is_file():
        raise BundleError(f"{file.parent.name}: {file.name} is missing. Copy the whole bundle again.")
    check_size(file)
    found = sha256_of(file)
    if found != wanted:
        raise BundleError(
            f"{file.parent.name}: {file.name} was changed: its sha256 is {found[:12]}…, "
            f"the manifest says {str(wanted)[:12]}…. Copy the bundle again; never edit it."
        )


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("streaming-bci", "torch", "numpy", "scipy")}
