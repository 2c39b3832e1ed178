"""A sender on the network that means harm: its description is data, of bounded size, and its markers too."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import time

import pylsl
import pytest
from rich.console import Console

from bci.chunk import Signal
from bci.errors import BciError, ChannelMismatch
from bci.matching import channel_rows
from bci.sources.lsl_discovery import list_streams
from bci.sources.lsl_source import LslSource, parse_marker
from tests.apps.test_run import SIGNAL, finish, model, outlet, start  # noqa: F401 - model is a fixture
from tests.security.fake_outlet import FakeOutlet

COUNT = itertools.count()
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202etxt\u2066\u200b"
CHANNEL = "<channel><label>{label}</label><unit>uV</unit><type>EEG</type></channel>"
GOOD = "".join(CHANNEL.format(label=name) for name in SIGNAL.names)
LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
DESCRIPTIONS = {
    "entities": f"{LAUGHS}<desc><channels>{CHANNEL.format(label='&c;')}</channels></desc>",
    "file": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><desc><channels>'
    + CHANNEL.format(label="&f;")
    + "</channels></desc>",
    "unclosed": "<desc><channels><channel><label>C3",
    "not XML": "<<<>>>&&&\x00\xff",
    "nothing": "",
    "another root": "</info><info><name>other</name>",
    "deep": "<desc>" + "<a>" * 20_000 + "</a>" * 20_000 + "</desc>",
    "markup": f"<desc><channels>{CHANNEL.format(label='&lt;script&gt;[red]&#x1b;[2J')}</channels></desc>",
    "many": "<desc><channels>" + CHANNEL.format(label="x") * 100_000 + "</channels></desc>",
    "long": f"<desc><channels>{CHANNEL.format(label='x' * 5_000_000)}</channels></desc>",
    "no numbers": "<desc><replay><speed>nan</speed><n_samples>1e999</n_samples></replay>"
    f"<channels>{CHANNEL.format(label='C3')}</channels></desc>",
}


def name_of():
    return f"hostile-{next(COUNT)}"


@pytest.mark.lsl
@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_hostile_description_is_refused(kind):
    """In one short, printable line, soon, and nothing of this machine comes into it."""
    name = name_of()
    with FakeOutlet(name, DESCRIPTIONS[kind]) as fake:
        source = LslSource(name, resolve_timeout_s=5.0)
        began_s = time.monotonic()
        with pytest.raises(BciError, match=name) as caught:
            source.open()
        source.close()
        assert time.monotonic() - began_s < 60
        assert fake.n_asked >= 1
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 2000
    assert "root:" not in said
    assert "haha" not in said


@pytest.mark.lsl
def test_a_hostile_description_is_listed_as_data():
    name = name_of()
    label = "&lt;script&gt;&#x1b;[2J[red]&#x202e;"
    desc = f"<desc><channels>{CHANNEL.format(label=label) * 200_000}</channels></desc>"
    with FakeOutlet(name, desc):
        listed = next(s for s in list_streams(1.0, describe_timeout_s=20.0) if s.name == name)
    assert len(listed.labels) <= 4  # of three channels
    assert all(shown.isprintable() and len(shown) <= 80 for shown in listed.labels)
    assert listed.labels[0].startswith("<script>")


@pytest.mark.lsl
def test_the_description_of_a_fake_that_is_honest_is_read():
    """Else the refusals above would prove nothing."""
    name = name_of()
    with FakeOutlet(name, f"<desc><channels>{GOOD}</channels></desc>"):
        listed = next(s for s in list_streams(1.0, describe_timeout_s=20.0) if s.name == name)
    assert listed.labels == SIGNAL.names
    assert listed.units == ("uV", "uV", "uV")


@pytest.mark.lsl
@pytest.mark.timeout(120)
def test_names_that_steer_a_terminal_do_not_reach_it(model):  # noqa: F811
    """XML cannot carry most of them, so the bidirectional ones are left: through the whole command."""
    _kept, name = outlet(labels=("C3", "C\u202ez\u2066", "[bold red]<b>C4"))
    returned, out, err = finish(start("--stream", name, "--model", model, "--timeout", 5))
    assert returned == 1
    assert (
        "lacks: Cz, C4. The stream also has: C\N{REPLACEMENT CHARACTER}z\N{REPLACEMENT CHARACTER}, [bold red]<b>C4"
        in err
    )
    assert all(line.isprintable() for line in (out + err).splitlines())


def test_names_in_messages_are_printable_wherever_they_come_from():
    """A recording's header can hold what XML cannot."""
    offered = Signal(128.0, ("C3", f"{ESCAPES}Cz", "x" * 10_000))
    with pytest.raises(ChannelMismatch, match="The recording also has: ") as caught:
        channel_rows(SIGNAL, offered, "recording")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_what_an_error_or_a_log_line_quotes_cannot_steer_a_terminal():
    """The last line of defence: the command line itself."""
    program = (
        "import argparse, logging, sys\n"
        "from apps.cli import guarded\n"
        "from bci.errors import StreamError\n"
        f"hostile = {ESCAPES!r} + 'x' * 1_000_000\n"
        "def run(args):\n"
        "    logging.getLogger('bci').warning('stream %s\\nnext', hostile[:50])\n"
        "    raise StreamError(hostile)\n"
        "sys.exit(guarded(run, argparse.Namespace(), 'bci'))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "WARNING bci: stream \N{REPLACEMENT CHARACTER}]0;owned" in ended.stderr
    assert all(line.isprintable() for line in ended.stderr.splitlines())
    assert len(ended.stderr) < 10_000


def test_the_view_shows_names_as_they_are():
    """Title, classes and the reason of the end, on a terminal that would obey."""
    from apps.console import ConsoleView, print_summary
    from bci.status import Summary

    class Waiting:
        newest = None

        class telemetry:
            counts = {"samples": 0}  # noqa: RUF012

    def shown(draw):
        console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None, markup=True)
        draw(console)
        return re.sub(r"\x1b\[\d*m", "", console.file.getvalue())  # rich's own bold

    hostile = f"{ESCAPES}[red]"
    view = ConsoleView(Waiting(), hostile, ("a", "b"))
    summary = Summary({}, {"samples": 0, "predictions": 0}, hostile, True)
    for text in (shown(lambda c: c.print(view.picture())), shown(lambda c: print_summary(summary, c))):
        assert "[red]" in text
        assert all(line.isprintable() for line in text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'{"kind": 3}',
        b'{"kind": null}',
        b'{"kind": ["end"], "n_samples": 1}',
        b'{"kind": "end"}',
        b'{"kind": "end", "n_samples": "9"}',
        b'{"kind": "end", "n_samples": true}',
        b'{"kind": "end", "n_samples": -1}',
        b'{"kind": "end", "n_samples": 1.5}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b"1" * 5000,
        b'{"kind": "' + b"x" * 70_000 + b'"}',
        b"\xff\xfe",
        "\u202e".encode(),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_marker_of_wrong_types_is_none(text):
    assert parse_marker(text, 1.0) is None


@pytest.mark.parametrize("kind", ["loop", "seek", "speed", "resume", "pause", "end", "annotation", "unheard of", ""])
@pytest.mark.parametrize("value", [None, True, -1, 0, 1e999, "1", [], {}, 10**400], ids=str)
def test_fields_of_wrong_types_change_nothing_but_their_event(kind, value):
    """Whatever a marker's fields hold, samples are counted on and every event is strict JSON."""
    import numpy as np

    from bci.clock import SampleClock
    from bci.events import Event
    from bci.timeline import Timeline

    fields = {"kind": kind, "n_samples": 0, "sample": value, "speed": value, "duration": value, "description": value}
    marker = parse_marker(json.dumps(fields).encode(), 10.0)
    assert marker is not None
    timeline = Timeline(SampleClock(SIGNAL))
    events = timeline.note([marker])
    n = 0
    for first in (0, 64):
        times = 10.0 + np.arange(first, first + 64) / SIGNAL.sfreq
        for item in timeline.take(np.zeros((3, 64), np.float32), times):
            if isinstance(item, Event):
                events.append(item)
            else:
                n += item.data.shape[-1]
    assert n == 128
    for event in events:
        json.loads(event.to_json())


@pytest.mark.lsl
def test_an_outlet_whose_strings_are_long_is_described_shortly():
    """A real outlet, with a megabyte in each place that holds text."""
    long = "x" * (1 << 20)
    info = pylsl.StreamInfo(name_of(), "EEG", 1, 128.0, "float32", "id")
    channel = info.desc().append_child("channels").append_child("channel")
    channel.append_child_value("label", long)
    channel.append_child_value("unit", long)
    kept = pylsl.StreamOutlet(info)
    source = LslSource(info.name(), resolve_timeout_s=5.0)
    with pytest.raises(ChannelMismatch, match="must state the unit of its channels") as caught:
        source.open()
    source.close()
    assert len(str(caught.value)) < 1000
    del kept
