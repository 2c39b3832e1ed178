"""What must not be on two sides of a split: a person, a recording, or a copy of one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from bci.errors import SpecError
from offline.datasets.base import Dataset, Session
from offline.splits import Split, sides
from offline.temporal import TemporalSplit, in_time, part_key


def require_apart(dataset: Dataset, split: Split | TemporalSplit) -> None:
    """Refuse a split that lets a model meet what it is scored on.

    Parameters
    ----------
    dataset : Dataset
        Its recordings are read once, for the hashes of their contents.
    split : Split or TemporalSplit
        Sides.

    Raises
    ------
    SpecError
        If two sides share a person, a recording or the content of one; for a split in time, if they share a stretch
        or the content of another recording, or a learner's stretch is not before what is scored.
    """
    if isinstance(split, TemporalSplit):
        _require_before(dataset, split)
    named = zip(("train", "validation", "test"), sides(dataset, split), strict=True)
    for (name, one), (other_name, other) in itertools.combinations(named, 2):
        between = f"{name} and {other_name}"
        if isinstance(split, Split):
            _require_none({s.subject for s in one} & {s.subject for s in other}, "person", between)
            _require_none({s.name for s in one} & {s.name for s in other}, "recording", between)
        _require_none(_copies(dataset, one, other), "content of a recording", between)


def _require_none(shared: set[str], what: str, between: str) -> None:
    if shared:
        raise SpecError(
            f"Sides of a split must not share a {what}: {between} share {', '.join(sorted(shared)[:3])}. "
            "Give both the same subject, or leave one out."
        )


def _copies(dataset: Dataset, one: Iterable[Session], other: Iterable[Session]) -> set[str]:
    """Return names of different recordings with the same content."""
    whole = {session.name: session for session in dataset.sessions}
    left: dict[str, set[str]] = {}
    for session in one:
        left.setdefault(whole[session.name].sha256, set()).add(session.name)
    return {
        f"{name} as {session.name}"
        for session in other
        for name in left.get(whole[session.name].sha256, set()) - {session.name}
    }


def _require_before(dataset: Dataset, split: TemporalSplit) -> None:
    sessions = in_time(dataset.of((split.subject,)))
    place = {session.name: i for i, session in enumerate(sessions)}
    end = (-1, 0)
    for side in (split.train, split.validation, split.test):
        spans = [part_key(sessions, text) for text in side]
        begin = min(((place[name], start) for name, start, _ in spans), default=end)
        if begin < end:
            raise SpecError(
                f"A split in time needs what is learnt from before what is scored, {split.name} has {side[0]} too "
                "early. Order its sides."
            )
        end = max([end, *((place[name], stop) for name, _, stop in spans)])
