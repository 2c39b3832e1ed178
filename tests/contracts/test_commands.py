"""Every row of the table of subcommands is a whole command."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

import pytest

import apps.commands
from apps.cli import COMMANDS

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_all_its_parts(name):
    """A line of help, explained options, and a run that returns an exit code."""
    module_name, line = COMMANDS[name]
    module = importlib.import_module(module_name)
    assert line == getattr(module, "HELP", line)
    assert "\n" not in line
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    unexplained = [f"bci {name}: {action.dest}" for action in _actions(parser) if not action.help]
    assert not unexplained
    assert module.run.__annotations__["return"] in ("int", int)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_readme(name):
    """What README does not show, nobody finds."""
    assert f"bci {name}" in README.read_text()


def test_every_file_in_commands_is_a_row():
    """A command that is written is reachable; helpers start with an underscore."""
    files = {f"apps.commands.{info.name}" for info in pkgutil.iter_modules(apps.commands.__path__)}
    assert {name for name in files if "._" not in name} == {module for module, _ in COMMANDS.values()}


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options and arguments of a parser and of its own subcommands."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [inner for child in action.choices.values() for inner in _actions(child)]
        else:
            found.append(action)
    return found
