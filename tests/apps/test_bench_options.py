"""Numbers that a benchmark cannot work with are refused before it begins: one line, whichever option they are for."""

from __future__ import annotations

import argparse
import importlib

import pytest

from apps.bench.options import numbers, positive, seed
from apps.cli import main
from apps.commands.bench import BENCHES

KINDS = (float, int, positive, numbers, seed)
MAY_BE_0 = ("--settle", "--seed")


def options():
    """Each option of a benchmark that takes numbers, beside the benchmark's name."""
    for name, bench in BENCHES.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(bench.module).add_arguments(parser)
        yield from ((name, action.option_strings[0]) for action in parser._actions if action.type in KINDS)


OPTIONS = tuple(options())


def test_all_benches_with_numbers_are_here():
    assert {name for name, _ in OPTIONS} == set(BENCHES) - {"faults"}
    assert ("training", "--seconds") in OPTIONS


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_numbers_without_a_meaning_are_refused_in_one_line(name, option, capsys):
    for value in ("inf", "-inf", "nan", "1e999", "-1", "0", "1,nan", ""):
        if value == "0" and option in MAY_BE_0:
            continue
        assert main(["bench", name, f"{option}={value}"]) == 2
        said = capsys.readouterr().err
        assert (said.count("\n"), option in said) == (1, True)


def test_numbers_are_read():
    assert numbers("1,2.5") == (1.0, 2.5)
    assert (positive("0.5"), seed("7")) == (0.5, 7)
    with pytest.raises(argparse.ArgumentTypeError, match="a finite number above 0 is needed, got '-2'"):
        numbers("1,-2")
    with pytest.raises(argparse.ArgumentTypeError, match=r"a whole number from 0 on is needed, got '-1'"):
        seed("-1")
