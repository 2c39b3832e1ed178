"""What of this machine decides which engines run and how fast; quick, and without importing a numerical library."""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import sys
from importlib import metadata
from pathlib import Path


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cuda_devices() -> int:
    """Return how many GPUs the NVIDIA driver offers; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def cuda_gap() -> str:
    """Return what is missing for engines on a GPU; empty if nothing is."""
    if cuda_devices() == 0:
        return "needs a CUDA GPU, and the NVIDIA driver offers none"
    if "+cpu" in (version("torch") or ""):
        return "needs a CUDA GPU and a torch built for CUDA: pip install torch, from the index that pytorch.org names"
    return ""


def installed(module: str) -> bool:
    """Return whether a top-level module can be found; it is not imported."""
    if module in sys.modules:
        return sys.modules[module] is not None
    return importlib.util.find_spec(module) is not None


def version(package: str) -> str | None:
    """Return the version of an installed package; None if it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def release(package: str, default: str) -> str:
    """Return major and minor version of an installed package, such as ``2.13``; `default` if it is not there."""
    return ".".join((version(package) or default).split(".")[:2])
