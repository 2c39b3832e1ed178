"""Changes to a bundle as somebody makes them who knows its format: the hashes agree."""

from __future__ import annotations

import hashlib
import json

from bci.bundle import FILES


def rehash(folder):
    """Make the manifest agree with the files, as somebody who edits a bundle would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def edit(folder, name, change):
    """Apply `change` to a JSON file, and let the hashes agree."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    if name != "manifest.json":
        rehash(folder)
