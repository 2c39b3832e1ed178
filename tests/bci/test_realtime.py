"""Real-time hygiene: applied, reported step by step, undone."""

import gc
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from bci import realtime
from bci.realtime import RealTime, Step

linux_root = pytest.mark.skipif(
    not (sys.platform == "linux" and os.geteuid() == 0 and os.access(realtime.AWAKE_FILE, os.W_OK)),
    reason="needs root on Linux",
)


def states():
    return os.sched_getscheduler(0), sys.getswitchinterval(), gc.get_freeze_count(), locked_kb()


def locked_kb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmLck"))


@linux_root
def test_every_step_is_in_force_inside_and_undone_outside():
    gc.unfreeze()
    before = states()
    with RealTime() as real_time:
        names = ["awake", "affinity", "priority", "memory", "switch", "threads", "collector"]
        assert [step.name for step in real_time.steps] == names
        assert all(step.done for step in real_time.steps), real_time.steps
        policy, interval_s, n_frozen, kb = states()
        assert (policy, interval_s) == (os.SCHED_FIFO, realtime.SWITCH_INTERVAL_S)
        assert n_frozen > 1000
        assert kb > 1000
        assert realtime.AWAKE_FILE in {os.readlink(f"/proc/self/fd/{fd}") for fd in open_files()}
    assert states() == before
    assert realtime.AWAKE_FILE not in {os.readlink(f"/proc/self/fd/{fd}") for fd in open_files()}


@linux_root
def test_a_step_that_is_left_out_is_neither_applied_nor_told():
    with RealTime(left_out=("priority", "awake")) as real_time:
        assert [step.name for step in real_time.steps] == ["affinity", "memory", "switch", "threads", "collector"]
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
        assert sys.getswitchinterval() == realtime.SWITCH_INTERVAL_S


@linux_root
def test_a_worker_steps_back():
    with RealTime(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(os.sched_getscheduler, 0).result() == os.SCHED_FIFO
        pool.submit(realtime.step_back).result()
        assert pool.submit(os.sched_getscheduler, 0).result() == os.SCHED_OTHER
        assert os.sched_getscheduler(0) == os.SCHED_FIFO


def open_files():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]


def test_a_step_that_is_not_possible_says_so_and_leaves_the_others(monkeypatch):
    monkeypatch.setattr(realtime, "AWAKE_FILE", "/dev/no such device")
    with RealTime() as real_time:
        steps = {step.name: step for step in real_time.steps}
        assert not steps["awake"].done
        assert steps["switch"].done
    assert (
        str(steps["awake"]) == "awake: not possible, No such file or directory. Run as root, or see docs/real-time.md."
    )


def test_another_system_is_named(monkeypatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    with RealTime() as real_time:
        (priority,) = [step for step in real_time.steps if step.name == "priority"]
    assert not priority.done
    assert "it is for Linux" in str(priority)


@linux_root
def test_memory_that_may_not_be_locked_is_reported():
    """In a process of its own: the limit cannot be raised again, and root is above it until it drops its rights."""
    code = """
import os, resource
from bci.realtime import RealTime, step_back
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
os.setuid(65534)
step_back()
with RealTime() as real_time:
    print(*real_time.steps, sep="\\n")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert re.search(r"memory: not possible, this process may not lock its memory \(.*\)\. Run as root", run.stdout)
    assert "priority: not possible, Operation not permitted. Run as root" in run.stdout


def test_a_step_is_one_line():
    assert str(Step("switch", True, "soon")) == "switch: soon"
