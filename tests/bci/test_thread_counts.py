"""Threads of numerical libraries and processors: fixed as asked for, told, and put back."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from apps.realtime_options import add_realtime_options, build_realtime, in_real_time
from bci import thread_counts
from bci.errors import UsageError
from bci.realtime import RealTime
from bci.thread_counts import fix_thread_counts

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is loaded, and pins threads")

CODE = """
import numpy, scipy.linalg, torch
from contextlib import ExitStack
from bci.thread_counts import fix_thread_counts
torch.set_num_threads(3)
with ExitStack() as undo:
    counts = fix_thread_counts(1, undo)
    assert torch.get_num_threads() == 1
    assert {after for _, after in counts.values()} == {1}, counts
    assert counts["torch"] == (3, 1)
    inside = fix_thread_counts(1, ExitStack())
    assert all(before == 1 for before, _ in inside.values())
again = fix_thread_counts(1, ExitStack())
print(sorted(counts), [again[name][0] == counts[name][0] for name in counts])
"""


@linux
def test_every_loaded_library_is_fixed_and_put_back():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    ended = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "['libscipy_openblas', 'libscipy_openblas64_', 'torch'] [True, True, True]"


def test_where_nothing_tells_what_is_loaded_only_torch_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(thread_counts, "MAPS", tmp_path / "no maps")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert fix_thread_counts(1, ExitStack()) == {}


@linux
def test_threads_that_start_inside_run_on_the_named_processors():
    before = os.sched_getaffinity(0)
    core = min(before)
    with RealTime((core,)) as real_time:
        steps = {step.name: step for step in real_time.steps}
        assert str(steps["affinity"]) == f"affinity: on processors {core}"
        assert str(steps["threads"]).startswith("threads: threads of numerical libraries: ")
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(os.sched_getaffinity, 0).result() == {core}
    assert os.sched_getaffinity(0) == before


def options(*words):
    parser = argparse.ArgumentParser()
    add_realtime_options(parser)
    return parser.parse_args(words)


@linux
def test_options_become_what_they_ask_for(capsys):
    assert build_realtime(options()) is None
    core = min(os.sched_getaffinity(0))
    with in_real_time(build_realtime(options("--realtime", "--cores", f" {core}"))):
        assert os.sched_getaffinity(0) == {core}
    assert f"\n  affinity: on processors {core}\n" in capsys.readouterr().out
    with in_real_time(build_realtime(options("--realtime"))):
        pass
    assert "affinity: left to the system, on processors " in capsys.readouterr().out
    with in_real_time(None):
        assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["99999", "x", "0,", "-1", "0 1", "²"])
def test_processors_that_are_not_there_are_refused(text):
    with pytest.raises(UsageError, match=r"--cores needs processors out of .*, joined by commas, got "):
        build_realtime(options("--realtime", f"--cores={text}"))


def test_processors_belong_to_realtime():
    with pytest.raises(UsageError, match=r"--cores 0 is a part of --realtime, got none\. Add --realtime"):
        build_realtime(options("--cores", "0"))
