"""Finding LSL streams: by what the user asks for, one of them, and whatever they say of themselves."""

from __future__ import annotations

import json
import re
import subprocess
import threading

import pylsl
import pytest

from bci.errors import ChannelMismatch, StreamError, StreamNotFound, UsageError
from bci.sources.lsl_discovery import list_streams, predicate
from bci.sources.lsl_source import LslSource
from bci.texts import printable
from tests.bci.lsl_tools import BCI, names, opened, outlet

HOSTILE = "<b>&\"']]>\n\x1b[31m[red]\u202e\x00"


@pytest.mark.lsl
def test_a_stream_is_found_by_name_type_source_id_and_description():
    name, other = next(names), next(names)
    streams = [outlet(name, kind="Odd'type", source_id="id=1,2"), outlet(other)]
    for query in (name, f"name={name}", "type=Odd'type", "source_id=id=1,2", f"type=Odd'type,name={name}"):
        with opened(query) as (_, info):
            assert info.name == name
    assert len(streams) == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a", 'name="a"'),
        ('a"b', "name='a\"b'"),
        ("a'b\"c", 'name=concat("a\'b", \'"\', "c")'),
        ("type=EEG", 'type="EEG"'),
        ("type=EEG,desc/manufacturer=X, Inc", 'type="EEG" and desc/manufacturer="X, Inc"'),
        ("name=x' or '1'='1", "name=\"x' or '1'='1\""),
    ],
)
def test_what_the_user_writes_is_never_part_of_the_query_language(query, expected):
    assert predicate(query) == expected


def test_a_query_with_a_strange_key_is_refused():
    with pytest.raises(UsageError, match=r"by NAME or key=value \(type=EEG.*got '1 or 1=1'"):
        predicate("1 or 1=1")


@pytest.mark.lsl
def test_no_stream_lists_what_is_there():
    name = next(names)
    there = outlet(name)
    with pytest.raises(StreamNotFound, match=rf"answered to 'absent' within 0.2 s.*'{name}' \(type EEG, 2 ch, 250 Hz"):
        LslSource("absent", resolve_timeout_s=0.2).open()
    del there


@pytest.mark.lsl
def test_a_search_is_given_up_when_nobody_waits_any_more():
    source = LslSource("absent", resolve_timeout_s=600.0)
    leaving = threading.Thread(target=source.interrupt)
    began = pylsl.local_clock()
    leaving.start()
    with pytest.raises(StreamNotFound, match="must answer to 'absent', none did before the search ended"):
        source.open()
    leaving.join()
    with pytest.raises(StreamNotFound, match="before the search ended"):
        source.open()
    assert pylsl.local_clock() - began < 60.0


@pytest.mark.lsl
def test_two_streams_of_one_name_are_both_listed():
    name = next(names)
    two = [outlet(name, source_id="left"), outlet(name, source_id="right")]
    with pytest.raises(StreamError, match=rf"One LSL stream must answer to '{name}', got 2: .*left.*right.*source_id="):
        LslSource(name).open()
    with opened("source_id=right") as (_, info):
        assert info.source_id == "right"
    assert len(two) == 2


@pytest.mark.lsl
def test_a_stream_that_answers_over_several_network_cards_is_one(monkeypatch):
    """Each card brings an answer of its own, under another address."""
    name = next(names)
    there, results = outlet(name, source_id="amp"), pylsl.ContinuousResolver.results
    monkeypatch.setattr(pylsl.ContinuousResolver, "results", lambda resolver: 3 * results(resolver))
    with opened(name) as (_, info):
        assert info.source_id == "amp"
    del there


@pytest.mark.lsl
def test_a_description_that_liblsl_cannot_read_is_listed_and_refused():
    source_id = next(names)
    there = outlet(next(names), sfreq=1e12, source_id=source_id, kind=source_id)
    assert any(stream.channel_format == "undefined" and not stream.n_channels for stream in list_streams(1.0))
    with pytest.raises(ChannelMismatch, match=r"must describe itself as LSL asks, .*: \(invalid: stoi\)\. Correct its"):
        LslSource(f"type={source_id}", resolve_timeout_s=1.0).open()
    good = outlet(next(names), kind=source_id)
    with opened(f"type={source_id}") as (_, info):
        assert info.name == good.get_info().name()
    del there


@pytest.mark.lsl
def test_two_replays_of_one_file_under_one_name_cannot_be_told_apart():
    name = next(names)
    two = [outlet(name, source_id="same"), outlet(name, source_id="same")]
    with pytest.raises(StreamError, match=rf"must answer to '{name}', got 2: .*\. Stop one of them\.$"):
        LslSource(name).open()
    assert len(two) == 2


@pytest.mark.lsl
def test_hostile_text_from_the_network_is_data():
    name = next(names) + "<&'[bold]\x1b"
    label = HOSTILE.replace("\x00", "\x01")
    there = outlet(name, labels=(label, "x" * 5000))
    with opened(f"name={name}") as (_, info):
        assert info.signal.names == (label, "x" * 5000)
    (listed,) = [stream for stream in list_streams(1.0) if stream.name.startswith(name[:7])]
    assert listed.labels[0].isprintable()
    assert len(listed.labels[1]) <= 80
    table = subprocess.run([*BCI, "streams"], capture_output=True, text=True, timeout=180, check=True).stdout
    assert "[bold]" in table
    assert "\x1b" not in table
    del there


@pytest.mark.lsl
def test_bci_streams_shows_what_cannot_be_used():
    """A unit that is missing, and a description that liblsl cannot read."""
    name = next(names)
    there = outlet(name, units=("uV", "")), outlet(next(names), sfreq=1e12)
    table = subprocess.run([*BCI, "streams"], capture_output=True, text=True, timeout=180, check=True).stdout
    assert re.search(rf"{name} .* none, uV +a b", table)
    assert re.search(r"\(invalid: .* undefined ", table)
    assert len(there) == 2


def test_printable():
    assert printable(HOSTILE) == "<b>&\"']]>\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[31m[red]" + 2 * "\ufffd"


@pytest.mark.lsl
def test_bci_streams_lists_names_and_units():
    name = next(names)
    there = outlet(name, labels=("Fz", "Cz"))
    found = json.loads(
        subprocess.run([*BCI, "streams", "--json"], capture_output=True, text=True, timeout=180, check=True).stdout
    )
    (ours,) = [stream for stream in found if stream["name"] == name]
    assert (ours["labels"], ours["units"], ours["sfreq"], ours["n_channels"]) == (["Fz", "Cz"], ["uV", "uV"], 250.0, 2)
    del there


@pytest.mark.lsl
def test_bci_streams_says_so_if_there_is_none(tmp_path, monkeypatch):
    config = tmp_path / "alone.cfg"
    config.write_text("[lab]\nSessionID = nobody-else\n[multicast]\nResolveScope = machine\n")
    monkeypatch.setenv("LSLAPICFG", str(config))
    done = subprocess.run(
        [*BCI, "streams", "--timeout", "0.3"], capture_output=True, text=True, timeout=180, check=True
    )
    assert "No LSL stream answered within 0.3 s" in done.stdout
    done = subprocess.run([*BCI, "streams", "--timeout", "0"], capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, "--timeout must be above 0 s, got 0" in done.stderr) == (2, True)
