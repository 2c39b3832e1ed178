"""Every result says what was typed, where it ran and with which versions; so do the files that are kept."""

from __future__ import annotations

import importlib
import json
import sys
import typing
from importlib import metadata
from pathlib import Path

import pytest

from apps.bench import machine
from apps.bench.report import Chart, Column, Report, Table
from apps.commands.bench import BENCHES

KEPT = Path(__file__).parents[2] / "benchmarks"
FILES = sorted(path.name for path in KEPT.glob("*.json"))


def assert_says_where_it_ran(content):
    assert content["command"].startswith(f"bci bench {content['bench']}")
    where = content["machine"]
    assert where["cores"] > 0
    assert all(where[key] for key in ("processor", "system", "python", "load_average"))
    assert {"numpy", "torch", "streaming-bci"} <= set(where["packages"])


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_returns_a_report_that_says_where_it_ran(name, monkeypatch):
    """Whatever else it tells: its details hide neither command nor machine."""
    bench = importlib.import_module(BENCHES[name].module).bench
    assert typing.get_type_hints(bench)["return"] is Report
    monkeypatch.setattr(sys, "argv", ["/somewhere/bci", "bench", name, "--json", "a file.json"])
    details = {"command": None, "machine": {}, "bench": "other", "rows": [1]}
    content = Report(name, Table("", (Column("p50"),), ()), Chart(("p50",)), {}, details=details).to_dict()
    assert_says_where_it_ran(json.loads(json.dumps(content)))
    assert content["command"] == f"bci bench {name} --json 'a file.json'"
    assert content["rows"] == [1]


def test_the_versions_of_engines_and_peers_are_told(monkeypatch):
    """And those that are not there are left out."""
    have = {
        "torch": "2.13.0",
        "brainflow": "5.23",
        "ezmsg-sigproc": "2.1",
        "openvino": "2026.4",
        "torch-tensorrt": "2.13",
    }

    def version(name):
        if name not in have:
            raise metadata.PackageNotFoundError(name)
        return have[name]

    monkeypatch.setattr(machine.metadata, "version", version)
    assert machine.describe()["packages"] == have


@pytest.mark.parametrize("name", FILES)
def test_a_kept_file_says_where_it_ran_and_stands_in_the_table(name):
    content = json.loads((KEPT / name).read_text(encoding="utf-8"))
    assert_says_where_it_ran(content)
    assert content["bench"] in BENCHES
    assert f"`{name}`" in (KEPT / "README.md").read_text(encoding="utf-8")
