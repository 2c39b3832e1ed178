"""The closing count counts, and a process that a test leaves behind fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = "from tests.conftest import data_dir, pytest_configure\n"
MARKERS = "[pytest]\nmarkers =\n    real\n    lsl\n    qt\n"


@pytest.fixture
def pytest_on(tmp_path):
    """Return a function that runs pytest, with this project's plugins, on the source of a test file."""

    def run(source: str, **environment: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "pytest.ini").write_text(MARKERS)
        (tmp_path / "test_it.py").write_text(source)
        env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return run


def test_the_count_names_what_ran_and_why_not(pytest_on, tmp_path):
    ended = pytest_on(
        "import pytest\n"
        "@pytest.mark.real\ndef test_real(data_dir): pass\n"
        "@pytest.mark.lsl\n@pytest.mark.parametrize('n', [1, 2])\ndef test_lsl(n): assert n == 1\n",
        BCI_DATA=str(tmp_path / "nowhere"),
    )
    lines = ended.stdout.splitlines()
    reason = f"1: real recordings not found at {tmp_path / 'nowhere'}; set BCI_DATA"
    assert f"real recordings: 0 run, 1 skipped ({reason}) | LSL: 2 run, 0 skipped | Qt: 0 run, none collected" in lines
    assert "1 failed, 1 passed, 1 skipped" in lines[-1]


# the first stays a child; the second is an orphan, which init has adopted
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are read from /proc")
@pytest.mark.parametrize(
    "start",
    [
        "import subprocess, sys\ndef test_it(): subprocess.Popen(['sleep', '50.25'])\n",
        "import subprocess\ndef test_it(): subprocess.run(['sh', '-c', 'sleep 50.25 >/dev/null 2>&1 &'], check=True)\n",
    ],
    ids=["child", "orphan"],
)
def test_a_process_left_behind_is_ended_and_fails_the_run(pytest_on, start):
    ended = pytest_on(start)
    assert ended.returncode == pytest.ExitCode.TESTS_FAILED
    (line,) = [line for line in ended.stdout.splitlines() if line.endswith(": sleep 50.25")]
    assert not _is_running(pid=int(line.split()[1].rstrip(",")))


def test_a_process_that_is_ended_in_time_is_no_error(pytest_on):
    ended = pytest_on("import subprocess\ndef test_it(): subprocess.run(['sleep', '0'], check=True)\n")
    assert ended.returncode == 0, ended.stdout


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
