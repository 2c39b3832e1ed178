"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "streaming-bci",
    "numpy",
    "scipy",
    "torch",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "torch-tensorrt",
    "tensorrt",
    "pylsl",
    "mne-lsl",
    "mne",
    "brainflow",
    "ezmsg",
    "ezmsg-sigproc",
    "pyqtgraph",
    "PySide6",
)
"""What our rows and the peers' depend on; those that are not installed are left out."""


def describe() -> dict[str, Any]:
    """Return processor, cores, operating system, versions, load and priority, as JSON values."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "load_average": load(),
        "niceness": os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else 0,
    }


def load() -> list[float]:
    """Return the load averages of 1, 5 and 15 minutes; empty where the system keeps none."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
