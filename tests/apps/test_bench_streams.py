"""The search for how many streams fit: which numbers are tried, what counts as inside, and what a claim means."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from apps.bench import streams
from apps.bench.claims import judge, parse
from apps.bench.report import Row, Table
from apps.cli import main


def search(fits, first=1, most=64, share=99.0, budget_ms=10.0):
    """Search among streams of which `fits` says how many of 1000 predictions are late, by their number."""
    asked = []

    def play(n, engine, duration_s):
        asked.append(n)
        late_s = np.full(1000, 1e-3 * budget_ms / 2)
        late_s[: fits(n)] = 2e-3 * budget_ms
        return late_s, 0.5 * duration_s

    args = SimpleNamespace(duration=2.0, budget_ms=budget_ms, first=first, most=most, share=share)
    rows, best = streams._search(play, "threads", None, args, lambda text: None)
    return asked, rows, best


def up_to(limit):
    return lambda n: 0 if n <= limit else 1000


@pytest.mark.parametrize(
    ("limit", "first", "asked", "found"),
    [
        (10, 1, [1, 2, 4, 8, 16, 12, 10], 10),
        (10, 8, [8, 16, 12, 10], 10),
        (10, 32, [32, 16, 8, 12, 10], 10),
        (1, 32, [32, 16, 8, 4, 2, 1], 1),
        (1000, 16, [16, 32, 64], 64),
        (64, 48, [48], 48),
    ],
)
def test_the_number_is_doubled_or_halved_then_looked_between(limit, first, asked, found):
    tried, rows, best = search(up_to(limit), first)
    assert tried == asked
    assert [row.values["streams"] for row in rows] == sorted(asked)
    assert best.values["streams"] == found
    assert best.values["late"] == 0


def test_nothing_fits():
    tried, rows, best = search(up_to(0), first=4)
    assert tried == [4, 2, 1]
    assert len(rows) == 3
    assert best is None


@pytest.mark.parametrize(
    ("late_of_1000", "share", "inside"),
    [(10, 99.0, True), (11, 99.0, False), (1, 99.9, True), (1, 100.0, False), (0, 100.0, True)],
)
def test_the_share_is_of_the_predictions(late_of_1000, share, inside):
    """With 100, each of them must be inside."""
    _, rows, best = search(lambda n: late_of_1000, most=1, share=share)
    assert (best is not None) == inside
    assert rows[0].values["late"] == pytest.approx(late_of_1000 / 10)
    assert rows[0].values["core"] == 50


def claimed(text, *rows):
    return judge(parse(text, streams.COLUMNS), Table("", streams.COLUMNS, rows))


def test_a_claim_means_the_largest_number_that_fits():
    """Not those that were tried and were too many."""
    _, rows, best = search(up_to(4))
    most = Row("most, threads", best.values)
    assert claimed("p99<10ms", *rows, most) == (True, "holds: p99<10ms (most, threads: 5 ms)")
    assert not claimed("p99<4ms", *rows, most)[0]
    assert claimed("streams>=4", *rows, most)[0]
    assert not claimed("8, threads p99<10ms", *rows, most)[0]


@pytest.fixture
def instant(monkeypatch):
    """Let the tries take no time: 1 ms a stream, whatever decodes."""

    def play(n, engine, duration_s):
        return np.full(100, 1e-3 * n), 0.1

    monkeypatch.setattr(streams, "_threads", play)
    monkeypatch.setattr(streams, "_loop", play)
    return ["bench", "streams", "--engine", "eager", "--budget-ms", "6.5"]


def test_the_command_holds_claims_against_what_fits(instant, capsys):
    assert main([*instant, "--share", "100", "--assert", "p99<6.5ms", "--assert", "streams>=6"]) == 0
    out = capsys.readouterr().out
    assert "holds: p99<6.5ms (most, threads: 6 ms, most, one loop: 6 ms)" in out
    assert "with 100 % of the predictions inside the budget" in out
    assert re.search(r"^most, one loop\s+one loop\s+6\s+6\s+6\s+6\s+6\s+0\s", out, re.MULTILINE)
    assert main([*instant, "--assert", "streams>6"]) == 1


def test_what_fits_nowhere_holds_no_claim(instant, capsys):
    assert main([*instant, "--budget-ms", "0.5", "--ways", "one loop", "--assert", "p99<10ms"]) == 1
    assert "does not hold: p99<10ms (most, one loop: – ms)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--most", "0"], "--first must be from 1 to --most and --duration at least 1 s, got 1, 0 and 5"),
        (["--first", "0"], "--first must be from 1 to --most and --duration at least 1 s, got 0, 1024 and 5"),
        (
            ["--first", "9", "--most", "8"],
            "--first must be from 1 to --most and --duration at least 1 s, got 9, 8 and 5",
        ),
        (["--share", "101"], "--share must be at most 100 %, got 101"),
        (["--share", "0"], "argument --share: a finite number above 0 is needed, got '0'"),
    ],
)
def test_wrong_usage_is_one_line_before_any_work(capsys, options, message):
    assert main(["bench", "streams", *options]) == 2
    assert message in capsys.readouterr().err
