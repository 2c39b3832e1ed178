"""Streams of one type as they appear on the network."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pylsl

from bci.sources.lsl_discovery import found, literal, same_stream


@dataclass(frozen=True, slots=True)
class Arrival:
    """A stream that has not been there before.

    Parameters
    ----------
    name : str
        What it is called, printable.
    query : str
        What `bci.sources.lsl_source.LslSource` finds it by: its ``source_id`` if it has one, else its name.
    """

    name: str
    query: str


class Arrivals:
    """Watches the network in the background.

    Parameters
    ----------
    kind : str
        Type of the streams.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._resolver = pylsl.ContinuousResolver(pred=f"type={literal(kind)}")
        self._seen: set[str] = set()

    def new(self, own: Collection[str] = ()) -> list[Arrival]:
        """Return the streams that were not there at the last call, by name.

        Parameters
        ----------
        own : collection of str, default=()
            Beginnings of the names of streams that are not meant, since this process publishes them.

        Returns
        -------
        arrivals : list of Arrival
            Who starts again under its old identity is there again.
        """
        arrivals = []
        for info in self._resolver.results():
            # anybody on the network can answer anything; what liblsl cannot parse has no channels
            if info.uid() in self._seen or info.type() != self._kind or info.channel_count() < 1:
                continue
            self._seen.add(info.uid())
            if info.nominal_srate() > 0 and not any(info.name().startswith(name) for name in own):
                arrivals.append(Arrival(found(info).name, _query(info)))
        return sorted(arrivals, key=lambda arrival: (arrival.name, arrival.query))


def _query(info: pylsl.StreamInfo) -> str:
    known_by = dict(same_stream(f"name={info.name()}", info))
    key = "source_id" if "source_id" in known_by else "name"
    return f"{key}={known_by[key]}"
