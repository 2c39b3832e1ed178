"""Which error messages no test asks for: ``python -m tests.contracts.raises``.

Each construction of an error in the packages has a message, known but for its placeholders. Each test that matches a
message has a pattern, known but for its wildcards. A message is covered if some pattern can match it so that at least
`MIN_SHARED` characters of the pattern fall on the message's own words, not on placeholders.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as regex_parser  # type: ignore[attr-defined]  # the standard library's own reading

import bci.errors

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bci", "offline", "apps", "models")
ALLOWED_FILE = Path(__file__).with_name("raises_allowed.toml")
MIN_SHARED = 8
MAX_BRANCHES = 32
NOT_MESSAGES = {"NotImplementedError", "StopIteration", "SystemExit", "KeyboardInterrupt", "GeneratorExit"}
ERRORS = {
    name
    for module in (builtins, bci.errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, BaseException) and not issubclass(value, Warning)
} - NOT_MESSAGES | {"ArgumentTypeError"}

GAP = "\0"
"""Any text, also none: a placeholder of a message or a wildcard of a pattern. Other characters stand for themselves."""


@dataclass(frozen=True)
class Site:
    """A place where an error is made.

    Parameters
    ----------
    file : str
        Path from the checkout's root.
    line : int
        First line of the call.
    messages : tuple of str
        What it may say, with `GAP` for placeholders.
    """

    file: str
    line: int
    messages: tuple[str, ...]

    def __str__(self) -> str:
        text = self.messages[0].replace(GAP, "…") if self.messages else "message is not written here"
        return f"{self.file}:{self.line}: {text}"


def sites(source: str, file: str) -> list[Site]:
    """Return the places in a source file where an error is made with a message."""
    found = []
    for scope, call in _calls(ast.parse(source), None):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in ERRORS and call.args and not _passes_on(call.args[0]):
            found.append(Site(file, call.lineno, tuple(_texts(call.args[0], scope))))
    return found


def patterns(source: str) -> set[str]:
    """Return what the tests in a source file look for in messages, with `GAP` for wildcards.

    These are the values of ``match=``, the patterns of ``re.search``, and ``"text" in message``. Where such a value
    is a variable (a parametrised test), every string of the file counts, except docstrings.
    """
    tree = ast.parse(source)
    found: set[str] = set()
    indirect = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            values = [k.value for k in node.keywords if k.arg == "match"]
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("search", "fullmatch") and node.args:
                values.append(node.args[0])
            for value in values:
                read = _pattern(value)
                found.update(read)
                indirect |= not read
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            found.update(_texts(node.left, tree))
            indirect |= isinstance(node.left, ast.Name)
    if indirect:
        docstrings = {id(s.value) for s in ast.walk(tree) if isinstance(s, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in docstrings:
                found.update(_pattern(node))
    return {text.lower() for text in found if len(text.replace(GAP, "")) >= MIN_SHARED}


def shared(pattern: str, message: str) -> int:
    """Return how many of a pattern's characters can fall on the message's own; -1 if it cannot match.

    The pattern may start and end anywhere in the message, as in ``re.search``.
    """
    impossible = -1
    # best[j]: the rest of the pattern against message[j:]; filled from the pattern's end
    best = [0] * (len(message) + 1)
    for p in reversed(pattern):
        after, best = best, [impossible] * (len(message) + 1)
        for j in range(len(message), -1, -1):
            m = message[j] if j < len(message) else None
            options = [impossible]
            if p == GAP or m == GAP:
                options += [after[j], best[j + 1] if m is not None else impossible]
            elif p == m and after[j + 1] != impossible:
                options.append(after[j + 1] + 1)
            best[j] = max(options)
    return max(best)


class Known:
    """The patterns of all tests, found by the runs of four characters that they hold.

    Parameters
    ----------
    found : set of str
        As `patterns` returns them.
    """

    def __init__(self, found: set[str]) -> None:
        self._holding: dict[str, list[str]] = {}
        for pattern in found:
            for piece in _pieces(pattern):
                self._holding.setdefault(piece, []).append(pattern)

    def near(self, message: str) -> list[str]:
        """Return the patterns with such a run in common with a message, those with most first."""
        shares: Counter[str] = Counter()
        for piece in _pieces(message):
            shares.update(self._holding.get(piece, ()))
        return [pattern for pattern, _ in shares.most_common()]


def covered(site: Site, known: Known) -> bool:
    """Return whether some pattern asks for the words of the site's message."""
    for message in (text.lower() for text in site.messages):
        needed = max(min(MIN_SHARED, len(message.replace(GAP, ""))), 1)
        if any(shared(pattern, message) >= needed for pattern in known.near(message)):
            return True
    return False


def _pieces(text: str) -> set[str]:
    return {text[i : i + 4] for i in range(len(text) - 3)}


def uncovered() -> tuple[list[Site], list[str]]:
    """Return the sites that no test asks for, and the rows of the allow-list that excuse nothing."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if path.parent != ALLOWED_FILE.parent:
            found |= patterns(path.read_text())
    known = Known(found)
    excuses = tomllib.loads(ALLOWED_FILE.read_text())["allowed"]
    unused = {(row["file"], row["message"]) for row in excuses if row["reason"]}
    missing = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for site in sites(path.read_text(), str(path.relative_to(ROOT))):
                if covered(site, known):
                    continue
                excused = {row for row in unused if row[0] == site.file and row[1] in str(site)}
                unused -= excused
                if not excused:
                    missing.append(site)
    return missing, [f"{file}: {message}" for file, message in sorted(unused)]


def main() -> int:
    """Print the uncovered sites; return 1 if there are any."""
    missing, unused = uncovered()
    lines = [str(site) for site in missing] + [f"raises_allowed.toml excuses nothing: {row}" for row in unused]
    sys.stdout.write("".join(f"{line}\n" for line in lines) + f"{len(missing)} messages without a test\n")
    return int(bool(lines))


def _calls(node: ast.AST, scope: ast.AST | None) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Yield each call with the function or module that it stands in."""
    if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
        scope = node
    if isinstance(node, ast.Call) and scope is not None:
        yield scope, node
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, scope)


def _texts(node: ast.expr, scope: ast.AST) -> list[str]:
    """Return what a string expression may be, with `GAP` for what is not written there; empty if nothing is."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(str(v.value) if isinstance(v, ast.Constant) else GAP for v in values)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in _texts(left, scope) or [GAP] for b in _texts(right, scope) or [GAP]][:MAX_BRANCHES]
        case ast.IfExp(body=body, orelse=other):
            return _texts(body, scope) + _texts(other, scope)
        case ast.Name(id=name):
            values = [n.value for n in ast.walk(scope) if isinstance(n, ast.Assign) and _binds(n, name)]
            return [text for value in values if value is not node for text in _texts(value, ast.Module([], []))]
    return []


def _passes_on(node: ast.expr) -> bool:
    """Return whether a message is ``str(error)``, another error's."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str"


def _binds(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _pattern(node: ast.expr) -> list[str]:
    """Return what a regular expression can match; empty if the expression is not written there or is invalid."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "escape":
        return _texts(node.args[0], node)
    stand_in = "\ue000"  # private use: a placeholder of an f-string, inside the pattern
    found = []
    for text in _texts(node, node):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # not every string of a test is meant as a pattern
                parsed = regex_parser.parse(text.replace(GAP, stand_in))
        except re.error:
            continue
        found += [branch.replace(stand_in, GAP) for branch in _branches(parsed)]
    return found


def _branches(parsed: regex_parser.SubPattern) -> list[str]:
    """Return the alternatives of a parsed pattern, wildcards and repeats as `GAP`."""
    branches = [""]
    for kind, value in parsed:
        if kind is op.LITERAL:
            parts = [chr(value)]
        elif kind is op.SUBPATTERN:
            parts = _branches(value[-1])
        elif kind is op.BRANCH:
            parts = [text for branch in value[1] for text in _branches(branch)]
        elif kind in (op.AT, op.ASSERT, op.ASSERT_NOT):
            parts = [""]
        else:
            parts = [GAP]
        branches = [head + part for head in branches for part in parts][:MAX_BRANCHES]
    return branches


if __name__ == "__main__":
    sys.exit(main())
