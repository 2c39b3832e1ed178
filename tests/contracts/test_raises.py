"""Every message that is raised is asked for by a test, and the finder of those that are not works."""

from __future__ import annotations

import pytest

from tests.contracts.raises import GAP, Known, Site, covered, patterns, shared, sites, uncovered

SOURCE = """
def check(low_hz):
    if low_hz < 0:
        raise SpecError(f"Bandpass needs 0 < low_hz, got low_hz={low_hz:g}. " "Raise it.")
    message = "Nothing " + describe() + " fits here."
    raise ValueError(message) from None
    raise
    raise UsageError(str(error)) from error
    raise NotImplementedError("later")
"""


def test_sites_are_read_with_their_placeholders():
    assert sites(SOURCE, "a.py") == [
        Site("a.py", 4, (f"Bandpass needs 0 < low_hz, got low_hz={GAP}. Raise it.",)),
        Site("a.py", 6, (f"Nothing {GAP} fits here.",)),
    ]


@pytest.mark.parametrize(
    ("test", "is_covered"),
    [
        (r'pytest.raises(SpecError, match=r"0 < low_hz, got .*low_hz=-1\. Raise")', True),
        (r'pytest.raises(SpecError, match="needs [0-9] < (high_hz|low_hz)")', True),
        (r'pytest.raises(SpecError, match=re.escape("got low_hz=7."))', True),
        (r'pytest.raises(SpecError, match=f"got low_hz={x}")', True),
        (r'assert "low_hz, got low_hz=3. Raise" in err', True),
        (r'LINES = ["Bandpass needs 0"]; pytest.raises(SpecError, match=line)', True),
        (r'pytest.raises(SpecError, match="low_hz, got high_hz=-1")', False),
        (r'pytest.raises(SpecError, match="needs .* it, got low_hz")', False),
        (r'pytest.raises(SpecError, match="got")', False),
        (r'pytest.raises(SpecError, match=".*")', False),
        (r"pytest.raises(SpecError)", False),
        (r'"""Bandpass needs 0 < low_hz"""', False),
    ],
)
def test_a_pattern_covers_the_message_it_can_match(test, is_covered):
    assert covered(sites(SOURCE, "a.py")[0], Known(patterns(test))) == is_covered


def test_only_the_messages_own_words_count():
    """A placeholder matches anything, so it proves nothing."""
    assert shared("stream x is gone", f"{GAP} is gone") == len(" is gone")
    assert shared("stream x is late", f"{GAP} is gone") == 0
    assert shared("stream x is late", f"stream {GAP} has gone") == len("stream ")
    assert shared("stream x is late", "stream x is gone") == -1


def test_every_message_is_asked_for():
    assert uncovered() == ([], [])
