"""What `docs/reliability.md` says is proven: each row names a test or a scenario, and that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.chaos.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").split("\n\n")
TABLES = [[row.strip("| ").split(" | ") for row in block.splitlines()] for block in BLOCKS if block.startswith("|")]
PROOFS = {row[0]: row[-1] for head, _, *rows in TABLES if head[-1] == "proven by" for row in rows}
FILE = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
SCENARIO = re.compile(r"\*([^*]+)\*")


def test_faults_and_attacks_have_a_table_each():
    assert [head[0] for head, *_ in TABLES if head[-1] == "proven by"] == ["fault", "attack"]
    assert len(PROOFS) >= 25


@pytest.mark.parametrize("claim", PROOFS)
def test_what_proves_a_claim_is_there(claim):
    files, scenarios = FILE.findall(PROOFS[claim]), SCENARIO.findall(PROOFS[claim])
    assert files or scenarios
    for file, function in files:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert not function or function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert not [name for name in scenarios if name.replace("… ", "restart with ") not in SCENARIOS]
