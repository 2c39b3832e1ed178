"""`bci run` with several streams: one model, one engine, and a session for each."""

from __future__ import annotations

import argparse
import contextlib
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from apps.bed_options import check_beds, options_of
from apps.board_options import Input
from apps.control import controlled
from apps.live import live_session, out_name, plain_name, session_commands, told_afterwards
from apps.outputs import Outputs, build_outputs
from apps.realtime_options import build_realtime, in_real_time
from apps.service import write_summary
from apps.session_options import Choices, session_choices

if TYPE_CHECKING:
    from bci.beds import Bed
    from bci.serving import Served
    from bci.sources.lsl_arrivals import Arrival

LOOK_EVERY_S = 0.5  # for streams that have come, and for the end


@dataclass(slots=True)
class _Admission:
    """A stream that is to be decoded, with its own options and outputs."""

    name: str
    query: str
    options: argparse.Namespace
    outputs: Outputs
    around: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


def run_beds(args: argparse.Namespace) -> int:
    """Decode several streams until all have ended, the duration has passed or a signal comes.

    Raises
    ------
    UsageError
        If the options do not fit several streams.
    StreamError
        At the end, if a stream's session has ended with an error.
    """
    check_beds(args)
    choices = session_choices(args)
    named = args.stream or []
    admitted = [_admit(args, plain_name(stream), stream, i) for i, stream in enumerate(named)]
    return _Ward(args, choices).run(admitted)


def _admit(args: argparse.Namespace, name: str, query: str, n_before: int) -> _Admission:
    options = options_of(args, name, n_before)
    return _Admission(name, query, options, build_outputs(options))


class _Ward:
    """All beds of one process."""

    def __init__(self, args: argparse.Namespace, choices: Choices) -> None:
        self._args, self._choices = args, choices
        self._ended: list[Bed] = []
        self._refused: list[str] = []  # streams that got no bed
        self._admissions: dict[str, _Admission] = {}
        self._published: list[str] = []
        self._waiting: dict[str, Arrival] = {}  # streams that came while one like them had a session
        self._standby: Served | None = None
        self._stopped = threading.Event()

    def run(self, admitted: list[_Admission]) -> int:
        import gc

        from apps.bed_view import BedsView, print_beds
        from apps.console import print_engine
        from apps.liblsl import quiet_liblsl
        from apps.quality import judged
        from apps.signals import stop_on_signals
        from bci.beds import Beds
        from bci.engines.batching import batched
        from bci.serving import serve

        args, hygiene = self._args, build_realtime(self._args)
        quiet_liblsl()
        fallback = self._choices.build("{stream}", duration_s=args.duration).budget.fallback

        def load(bundle: str) -> Served:
            return judged(serve(bundle, args.engine, args.precision, args.remeasure), args.quality, args.min_channels)

        served = self._choices.adjust(load(args.model))
        if fallback is not None:
            loaded = load(fallback)
            self._standby = replace(loaded, engine=batched(loaded.engine))
        for admission in admitted:
            admission.outputs.check(served.bundle.decision)
        print_engine(served.engine_report)
        engine = batched(served.engine)
        self._beds = Beds(self._discharge)
        served = replace(served, engine=engine)
        decision = served.bundle.decision
        title = f"{served.bundle.name} ({engine.name}, {engine.precision})"
        view = BedsView(self._beds, title, decision.alarm.label if decision.alarm else "")
        gc.freeze()  # what was loaded so far lives as long as the sessions

        def end() -> None:
            self._stopped.set()
            self._beds.stop()

        with (
            stop_on_signals(end),
            contextlib.nullcontext() if args.no_view else view,
            in_real_time(hygiene),
            self._beds,
        ):
            for admission in admitted:
                self._begin(admission, served)
            if args.all_streams is None:
                while not self._beds.wait(LOOK_EVERY_S):
                    pass
            else:
                self._look(served)
        print_beds(self._ended, engine.sizes)
        for bed in self._ended:
            admission = self._admissions[bed.name]
            for line in told_afterwards(admission.options, admission.outputs):
                print(line)
        return self._judge()

    def _look(self, served: Served) -> None:
        """Begin a session for each stream that comes, until the duration has passed or a signal comes."""
        from bci.sources.lsl_arrivals import Arrivals

        arrivals = Arrivals(self._args.all_streams)
        until = time.monotonic() + (self._args.duration or float("inf"))
        while not self._stopped.is_set() and time.monotonic() < until:
            for arrival in (*self._free(), *arrivals.new(self._published)):
                if any(admission.query == arrival.query for admission in self._occupied()):
                    self._waiting[arrival.query] = arrival  # its session looks for it
                else:
                    self._receive(arrival, served)
            self._stopped.wait(min(LOOK_EVERY_S, max(0.0, until - time.monotonic())))

    def _occupied(self) -> list[_Admission]:
        """Return what is being decoded."""
        return [self._admissions[bed.name] for bed in self._beds.all if bed.running]

    def _free(self) -> list[Arrival]:
        """Return streams that came back when their session had just given up."""
        occupied = {admission.query for admission in self._occupied()}
        over = [query for query in self._waiting if query not in occupied]
        failed = {self._admissions[bed.name].query for bed in self._beds.all if bed.error}
        return [arrival for query in over if (arrival := self._waiting.pop(query)).query in failed]

    def _receive(self, arrival: Arrival, served: Served) -> None:
        """Begin a session for a stream, under a name that no other has had; say why if that cannot be."""
        from bci.errors import BciError
        from bci.texts import visible

        n, name = 1, arrival.name
        while name in self._admissions:
            n, name = n + 1, f"{arrival.name}-{n + 1}"
        try:
            admission = _admit(self._args, name, arrival.query, len(self._admissions))
            admission.outputs.check(served.bundle.decision)
            self._begin(admission, served)
        except BciError as error:
            self._refused.append(name)
            print(f"{visible(name)}: error: {visible(str(error))}", flush=True)

    def _begin(self, admission: _Admission, served: Served) -> None:
        from bci.sources.lsl_source import LslSource
        from bci.texts import visible

        args, options = self._args, admission.options
        out = out_name(args.out, admission.name)
        finding = args.all_streams is not None
        settings = self._choices.build(out, duration_s=None if finding else args.duration, start_timeout_s=args.timeout)
        source = LslSource(admission.query, args.unit, args.timeout)
        session = live_session(served, Input(admission.name, source), settings, admission.outputs, self._standby)
        if options.control is not None or options.http is not None:
            print(f"{visible(admission.name)}:", flush=True)  # what comes next is about it
        with contextlib.ExitStack() as stack:
            stack.enter_context(admission.outputs.services.running())
            stack.enter_context(controlled(options.control, session_commands(session)))
            admission.around = stack.pop_all()
        self._published.append(out)
        self._admissions[admission.name] = admission
        self._beds.begin(admission.name, session)

    def _discharge(self, bed: Bed) -> None:
        """Close what one bed has for itself, and say how it ended; in the bed's thread."""
        from apps.bed_view import ending
        from bci.errors import UsageError

        admission = self._admissions[bed.name]
        admission.around.close()
        path = admission.options.summary
        if path is not None and bed.summary is not None:
            try:
                write_summary(path, bed.summary, admission.outputs.queues)
            except UsageError as error:
                bed.error = str(error)
        self._ended.append(bed)
        print(ending(bed), flush=True)

    def _judge(self) -> int:
        from bci.errors import StreamError

        failed = [*(bed.name for bed in self._ended if bed.error), *self._refused]
        if failed:
            raise StreamError(
                f"All {len(self._ended) + len(self._refused)} streams must be decoded to their end, "
                f"{len(failed)} got an error: {', '.join(failed)}. Their lines above say why."
            )
        return 0
