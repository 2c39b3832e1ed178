"""How full the GPU is is told where one computes, and nothing is loaded to find out."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from bci.engines.gpu_memory import gpu_memory


def test_it_loads_no_torch():
    code = "import sys; from bci.engines.gpu_memory import gpu_memory; print(gpu_memory(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout == "None False\n"


@pytest.mark.parametrize("on_gpu", [True, False])
def test_it_is_told_only_where_a_gpu_computes(monkeypatch, on_gpu):
    cuda = SimpleNamespace(is_initialized=lambda: on_gpu, mem_get_info=lambda: (60 << 30, 80 << 30))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert gpu_memory() == ({"used_mb": 20480.0, "total_mb": 81920.0} if on_gpu else None)
