"""Events: what happened, when, in numbers; the same object in the API, on the event stream and in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a user may have to know.

    Parameters
    ----------
    kind : str
        ``lost``, ``gap``, ``loop``, ``seek``, ``alarm_on``, ``alarm_off``, ``fault``, ``status``, …: see
        ``docs/streams.md`` for the keys of each.
    time : float
        When, in seconds of the local LSL clock.
    fields : mapping, default={}
        JSON values.
    """

    kind: str
    time: float
    fields: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the event as one line of JSON."""
        return json.dumps({"kind": self.kind, "t": self.time, **self.fields}, allow_nan=False)
