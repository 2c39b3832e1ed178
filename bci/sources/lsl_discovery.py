"""Finding LSL streams, and telling the user what is there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as LslTimeout

from bci.errors import ChannelMismatch, StreamError, StreamNotFound, UsageError
from bci.texts import printable

_KEY = re.compile(r"[A-Za-z_][\w/]*")
_MADE_UP_ID = re.compile(r"-?\d{15,20}")  # the hash that pylsl takes where a sender names no source_id
_PROPERTIES = {
    "name": pylsl.StreamInfo.name,
    "type": pylsl.StreamInfo.type,
    "source_id": pylsl.StreamInfo.source_id,
    "hostname": pylsl.StreamInfo.hostname,
}
_POLL_S = 0.01
_LIST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """A stream on the network. Texts come from outside and are made printable.

    Parameters
    ----------
    name, type, source_id, host, channel_format : str
        What the stream says of itself.
    n_channels : int
        Number of channels.
    sfreq : float
        Nominal rate, in Hz; 0 if irregular.
    labels, units : tuple of str, default=()
        Of the channels; filled by `describe` only.
    """

    name: str
    type: str
    source_id: str
    host: str
    channel_format: str
    n_channels: int
    sfreq: float
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def __str__(self) -> str:
        rate = f"{self.sfreq:g} Hz" if self.sfreq else "irregular"
        return (
            f"{self.name!r} (type {self.type}, {self.n_channels} ch, {rate}, source_id {self.source_id}, {self.host})"
        )


def found(info: pylsl.StreamInfo, labels: tuple[str, ...] = (), units: tuple[str, ...] = ()) -> Found:
    """Return the printable description of a resolved stream."""
    return Found(
        name=printable(info.name()),
        type=printable(info.type()),
        source_id=printable(info.source_id()),
        host=printable(info.hostname()),
        channel_format=pylsl.lib.fmt2string[info.channel_format()],
        n_channels=info.channel_count(),
        sfreq=info.nominal_srate(),
        labels=tuple(printable(label) for label in labels),
        units=tuple(printable(unit) for unit in units),
    )


def predicate(query: str) -> str:
    """Return the XPath predicate for what the user asked for.

    Parameters
    ----------
    query : str
        A stream name, or ``key=value`` with a property such as ``type``, ``source_id``, ``hostname`` or
        ``desc/manufacturer``; several are joined by commas. ``name=…`` serves names that contain ``=``.

    Returns
    -------
    predicate : str

    Raises
    ------
    UsageError
        If a key is not a property path.
    """
    return _condition(parse_query(query))


def parse_query(query: str) -> tuple[tuple[str, str], ...]:
    """Return the properties that the user asked for, and their values; see `predicate`."""
    if "=" not in query:
        return (("name", query),)
    terms = []
    for part in re.split(r",(?=[A-Za-z_][\w/]*=)", query):
        key, _, value = part.partition("=")
        if not _KEY.fullmatch(key.strip()):
            raise UsageError(
                "A stream is asked for by NAME or key=value (type=EEG, source_id=…, desc/manufacturer=…), "
                f"got {part!r}. "
                "For a name that contains '=', use name=NAME."
            )
        terms.append((key.strip(), value))
    return tuple(terms)


def _condition(terms: Iterable[tuple[str, str]]) -> str:
    return " and ".join(f"{key}={literal(value)}" for key, value in terms)


def same_stream(query: str, info: pylsl.StreamInfo) -> tuple[tuple[str, str], ...]:
    """Return what a stream that was lost is known by: its type, and its ``source_id`` if it has one.

    An identifier that pylsl has made up is none: it is another one after a restart. Without one the stream is known by
    its name, and by what the user asked for.

    Parameters
    ----------
    query : str
        As for `predicate`.
    info : pylsl.StreamInfo
        The stream as it was.

    Returns
    -------
    terms : tuple of (str, str)
        Properties and their values.
    """
    if info.source_id() and not _MADE_UP_ID.fullmatch(info.source_id()):
        return (("type", info.type()), ("source_id", info.source_id()))
    return (("type", info.type()), ("name", info.name()), *parse_query(query))


def _never() -> bool:
    return False


class Search:
    """Looks for streams in the background, so that opening one need not wait until others have had time to answer.

    A stream that answers over several network cards is one stream, known by its uid. An answer that does not
    have the properties that were asked for is ignored: anybody on the network can answer anything.

    Parameters
    ----------
    query : str
        As for `predicate`.
    terms : sequence of (str, str) or None, default=None
        Properties and values to look for instead of the query's own.
    """

    def __init__(self, query: str, terms: Sequence[tuple[str, str]] | None = None):
        self._query = query
        self._terms = parse_query(query) if terms is None else tuple(terms)
        self._resolver = pylsl.ContinuousResolver(pred=_condition(self._terms))

    def _answers(self, known: Collection[str] = ()) -> list[pylsl.StreamInfo]:
        """Return the streams that are asked for, each once, without those whose ``uid`` is known."""
        answers = {info.uid(): info for info in _readable(self._resolver)}
        return [
            info
            for uid, info in answers.items()
            if uid not in known and all(_has(info, key, value) for key, value in self._terms)
        ]

    def first(self, timeout_s: float, interrupted: Callable[[], bool] = _never) -> pylsl.StreamInfo:
        """Return the first stream that answers, without its extended description.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds.
        interrupted : callable, default=_never
            Says whether nobody waits for the stream any more.

        Returns
        -------
        info : pylsl.StreamInfo

        Raises
        ------
        StreamNotFound
            If none answers; lists the streams that are there, unless interrupted.
        ChannelMismatch
            If what answers cannot be read as a description.
        """
        until = pylsl.local_clock() + timeout_s
        while not (infos := self._answers()) and pylsl.local_clock() < until:
            if interrupted():
                raise StreamNotFound(f"An LSL stream must answer to {self._query!r}, none did before the search ended.")
            time.sleep(_POLL_S)
        if not infos:
            malformed = self._resolver.results()
            if malformed:
                raise ChannelMismatch(
                    f"A stream that answers to {self._query!r} must describe itself as LSL asks, got one that liblsl "
                    f"cannot read: {printable(malformed[0].name())}. "
                    "Correct its nominal rate and number of channels in the sender."
                )
            others = ", ".join(str(found(info)) for info in pylsl.resolve_streams(_LIST_WAIT_S))
            raise StreamNotFound(
                f"No LSL stream answered to {self._query!r} within {timeout_s:g} s. "
                f"Streams on the network: {others or 'none'}. "
                "Start the sender or name another stream; `bci streams` lists them."
            )
        return infos[0]

    def another(self, timeout_s: float, known: Collection[str]) -> pylsl.StreamInfo | None:
        """Return the stream that answers and is not known, at the latest after `timeout_s`; None if there is none.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds; what answers first is returned.
        known : collection of str
            Identifiers (``uid``) of streams that are not meant.

        Returns
        -------
        info : pylsl.StreamInfo or None

        Raises
        ------
        StreamError
            If several answer.
        """
        until = pylsl.local_clock() + timeout_s
        while True:
            answers = self._answers(known)
            if len(answers) == 1:
                return answers[0]
            if pylsl.local_clock() >= until:
                break
            time.sleep(_POLL_S)
        self.need_one(known)
        return None

    def uids(self) -> set[str]:
        """Return the identifiers of all streams that have answered."""
        return {info.uid() for info in self._answers()}

    def need_one(self, known: Collection[str] = ()) -> None:
        """Check that no second stream has answered.

        Parameters
        ----------
        known : collection of str, default=()
            Identifiers (``uid``) of streams that do not count.

        Raises
        ------
        StreamError
            If one has; lists all.
        """
        answers = self._answers(known)
        if len(answers) > 1:
            listed = ", ".join(sorted(str(found(info)) for info in answers))
            alike = len({(info.source_id(), info.hostname()) for info in answers}) == 1
            raise StreamError(
                f"One LSL stream must answer to {self._query!r}, got {len(answers)}: {listed}. Stop one of them"
                + ("." if alike else ", or choose by source_id=… or hostname=….")
            )


def wait_for_results(resolver: pylsl.ContinuousResolver, timeout_s: float) -> list[pylsl.StreamInfo]:
    """Return what a resolver has found, as soon as that is something, at the latest after `timeout_s`."""
    until = pylsl.local_clock() + timeout_s
    while not (infos := _readable(resolver)) and pylsl.local_clock() < until:
        time.sleep(_POLL_S)
    return infos


def _readable(resolver: pylsl.ContinuousResolver) -> list[pylsl.StreamInfo]:
    return [info for info in resolver.results() if not _is_malformed(info)]


def _has(info: pylsl.StreamInfo, key: str, value: str) -> bool:
    """Whether a stream has a property, as far as that can be told before it is opened."""
    read = _PROPERTIES.get(key)
    return read is None or read(info) == value


def _is_malformed(info: pylsl.StreamInfo) -> bool:
    """Whether liblsl could not parse what a stream says of itself; an inlet for it cannot be made."""
    return info.channel_count() < 1 or pylsl.lib.fmt2string[info.channel_format()] == "undefined"


def list_streams(wait_s: float, describe_timeout_s: float = 1.0) -> list[Found]:
    """Return all streams that answer within `wait_s`, with channel names and units where they tell them.

    One whose description liblsl cannot read is there with its word for that as the name, and format ``undefined``.
    """
    listed = []
    for info in pylsl.resolve_streams(wait_s):
        if _is_malformed(info):
            listed.append(found(info))
            continue
        labels: tuple[str, ...] = ()
        units: tuple[str, ...] = ()
        try:
            full = pylsl.StreamInlet(info, recover=False).info(describe_timeout_s)
            labels, units = channel_texts(full, "label"), channel_texts(full, "unit")
        except (LostError, LslTimeout):
            pass  # it answered the query and left: still listed, without details
        listed.append(found(info, labels, units))
    return sorted(listed, key=lambda f: (f.name, f.source_id))


def channel_texts(info: pylsl.StreamInfo, key: str) -> tuple[str, ...]:
    """Return one text per ``desc/channels/channel``, empty where it is missing; one more than channels at most."""
    texts: list[str] = []
    channel = info.desc().child("channels").child("channel")
    while not channel.empty() and len(texts) <= info.channel_count():  # a description can list millions
        texts.append(channel.child_value(key))
        channel = channel.next_sibling("channel")
    return tuple(texts)


def literal(text: str) -> str:
    """Return an XPath 1.0 string; it has no escapes, so quotes of both kinds need concat()."""
    if '"' not in text:
        return f'"{text}"'
    if "'" not in text:
        return f"'{text}'"
    parts = [f'"{part}"' for part in text.split('"')]
    return "concat(" + ", '\"', ".join(parts) + ")"
