"""What every test shares: real recordings, a private LSL network, the closing count, no process left behind.

The LSL settings are made while this file is imported: liblsl reads them once, when a process first uses it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.counts import Counts
from tests.leftovers import Leftovers

ROOT = Path(__file__).resolve().parents[1]


def lsl_ports() -> range:
    """Return where the outlets of this process and its children listen; LSL's own 32 ports are too few for two runs."""
    first = 16600 + os.getpid() % 160 * 100
    return range(first, first + 99)


def isolate_lsl() -> Path:
    """Keep the LSL streams of this run and its child processes on this machine, apart from all others."""
    ports = lsl_ports()
    folder = Path(tempfile.mkdtemp(prefix="bci-lsl-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = folder / "lsl_api.cfg"
    config.write_text(
        f"[ports]\nIPv6 = disable\nMulticastPort = {ports.stop}\nBasePort = {ports.start}\nPortRange = {len(ports)}\n"
        "[multicast]\nResolveScope = machine\nAddressesOverride = {127.0.0.1}\n"
        f"[lab]\nKnownPeers = {{127.0.0.1}}\nSessionID = pytest-{uuid.uuid4().hex}\n"
        "[log]\nlevel = -2\n"
    )
    os.environ["LSLAPICFG"] = str(config)
    return config


LSL_CONFIG = isolate_lsl()


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Counts(), "bci-counts")
    config.pluginmanager.register(Leftovers(LSL_CONFIG), "bci-leftovers")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file in one process, and all scenarios that are played beside each other, too."""
    for item in items:
        file = item.path.relative_to(ROOT)
        item.add_marker(pytest.mark.xdist_group(str(file.parent if file.parent.name == "chaos" else file)))
    items.sort(key=lambda item: item.path.parent.name != "real")  # they take longest and mostly wait


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings: ``BCI_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("BCI_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real recordings not found at {folder}; set BCI_DATA")
    return folder
