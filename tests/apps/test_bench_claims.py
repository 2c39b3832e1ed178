"""What --assert demands: how it is read, what it is held against, and how the command ends."""

from __future__ import annotations

import pytest

from apps.bench.claims import judge, parse
from apps.bench.report import Chart, Column, Report, Row, Table, shown
from apps.cli import main
from bci.errors import UsageError

COLUMNS = (Column("p50", "ms"), Column("p99.9", "ms"), Column("core", "%"), Column("ratio", "×"), Column("n"))
TABLE = Table(
    "Times",
    COLUMNS,
    (
        Row("ours, onnx", {"p50": 1.5, "p99.9": 4.0, "core": 5.0, "ratio": 1.0, "n": 100}),
        Row("ours, eager", {"p50": 3.0, "p99.9": None, "core": 9.0, "ratio": 1.0, "n": 100}),
        Row("peer", {"p50": 12.0, "p99.9": 40.0, "core": 21.0, "ratio": 8.0, "n": 100}, ours=False),
    ),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p50<3.1ms", True),
        ("p50<3 ms", False),
        ("p50 <= 3ms", True),
        ("ours p50<2ms", False),
        ("ours, onnx p50<2ms", True),
        ("ours, onnx p50<1500us", False),
        ("ours, onnx p50<=1500µs", True),
        ("p50<0.01s", True),
        ("ours, onnx p99.9<5ms", True),
        ("ours, eager p99.9<5ms", False),  # not measured
        ("core<=9%", True),
        ("peer ratio>=8x", True),
        ("peer ratio>8×", False),
        ("n>=1e2", True),
        ("peer p50<10ms", False),
    ],
)
def test_a_claim_is_held_against_the_rows_that_it_means(text, holds):
    claim = parse(text, COLUMNS)
    found, line = judge(claim, TABLE)
    assert found == holds
    assert line.startswith("holds: " if holds else "does not hold: ")


def test_the_verdict_names_row_and_value():
    assert judge(parse("p50<3ms", COLUMNS), TABLE)[1] == "does not hold: p50<3ms (ours, eager: 3 ms)"
    assert judge(parse("ours, eager p99.9<3ms", COLUMNS), TABLE)[1].endswith("(ours, eager: – ms)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("p50", r"--assert needs \[ROW\] METRIC < NUMBER UNIT, such as .*, got 'p50'"),
        ("p50<", "--assert needs .*, got 'p50<'"),
        ("p50==3ms", "--assert needs .*, got 'p50==3ms'"),
        ("p50<3ms; n>1", "--assert needs .*, got"),
        ("__import__('os')", "--assert needs .*, got"),
        ("p42<3ms", r"--assert needs a metric that is measured here \(p50, p99.9, core, ratio, n\), got 'p42'"),
        ("p50<3", "--assert needs p50 in ms, got the unit ''"),
        ("p50<3%", "--assert needs p50 in ms, got the unit '%'"),
        ("n>3ms", "--assert needs n without a unit, got the unit 'ms'"),
    ],
)
def test_a_claim_that_cannot_be_read_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        parse(text, COLUMNS)


def test_a_claim_about_no_row_is_refused():
    with pytest.raises(
        UsageError, match="--assert 'theirs p50<3ms' needs a row that begins with 'theirs', got: ours, onnx;"
    ):
        judge(parse("theirs p50<3ms", COLUMNS), TABLE)


def bench_history(*claims):
    options = [part for claim in claims for part in ("--assert", claim)]
    return main(["bench", "history", "--seconds", "0.001", "--channels", "2", "--histories", "10", *options])


def test_the_command_ends_with_0_when_all_hold(capsys):
    assert bench_history("push<1s", "2 channels push>0us") == 0
    assert capsys.readouterr().out.count("holds: ") == 2


def test_the_command_ends_with_1_and_the_value_when_one_does_not(capsys):
    assert bench_history("push<1s", "push>1s") == 1
    assert "does not hold: push>1s (2 channels, 10 s: " in capsys.readouterr().out


@pytest.mark.parametrize("claim", ["push", "p50<1s", "push<1kg", "nobody push<1s"])
def test_the_command_ends_with_2_for_a_claim_that_cannot_be_judged(capsys, claim):
    assert bench_history(claim) == 2
    assert "--assert" in capsys.readouterr().err


def test_a_report_is_text_and_json_with_units():
    report = Report("demo", TABLE, Chart(("p50",)), {"seed": 0}, ("a note",), machine={"cores": 2})
    content = report.to_dict()
    assert content["rows"][1] == {
        "label": "ours, eager", "p50_ms": 3.0, "p99.9_ms": None, "core_percent": 9.0, "ratio_times": 1.0, "n": 100,
    }  # fmt: skip
    text = str(report)
    assert "p99.9 ms" in text
    assert text.endswith("a note")
    assert len({len(line) for line in text.splitlines()[1:-1]}) == 1


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (3, "3"), (0.123456, "0.123"), (1234.5, "1234"), (12.34, "12.3"), ("x", "x")]
)
def test_three_digits_are_shown(value, text):
    assert shown(value) == text
