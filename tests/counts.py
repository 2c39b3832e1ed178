"""The closing count: how many tests touched real recordings, LSL and Qt, and why the others did not."""

from __future__ import annotations

from collections import Counter

import pytest

GROUPS = {"real": "real recordings", "lsl": "LSL", "qt": "Qt"}


class Counts:
    """Pytest plugin that counts the tests of each marked group."""

    def __init__(self) -> None:
        self.run: Counter[str] = Counter()
        self.skipped: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: at its call, or at its setup where that skipped or failed."""
        if report.when == "teardown" or (report.when == "setup" and report.passed):
            return
        for group in GROUPS:
            if group not in report.keywords:
                continue
            if report.skipped:
                self.skipped[group][_reason(report)] += 1
            else:
                self.run[group] += 1

    def line(self) -> str:
        """Return the count of all groups, on one line."""
        return " | ".join(self._group(group, title) for group, title in GROUPS.items())

    def _group(self, group: str, title: str) -> str:
        skipped = self.skipped[group]
        if not self.run[group] and not skipped:
            return f"{title}: 0 run, none collected"
        text = f"{title}: {self.run[group]} run, {skipped.total()} skipped"
        if skipped:
            text += f" ({'; '.join(f'{n}: {reason}' for reason, n in skipped.most_common())})"
        return text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the count just above pytest's own last line."""
        terminalreporter.write_sep("=", "tests that touch the real world")
        terminalreporter.write_line(self.line())


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped, or expected to fail."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return getattr(report, "wasxfail", "") or "no reason given"
