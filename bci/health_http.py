"""Health as JSON and metrics for Prometheus, over HTTP."""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bci.decision import State
from bci.errors import UsageError
from bci.health import BUCKETS_S, Figures, Health
from bci.sinks.address import missing

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
PATIENCE_S = 5.0  # with a client that sends nothing
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CODES = {state.name.lower(): int(state) for state in State}

Page = Callable[[], tuple[int, str, bytes]]


class HealthServer:
    """Context manager that answers ``GET /health`` and ``GET /metrics`` in threads of its own.

    Parameters
    ----------
    health : Health
        What is told.
    port : int
        TCP port; 0 takes a free one.
    host : str, default="127.0.0.1"
        Address to listen at. Anything but loopback tells everybody on that network.

    Attributes
    ----------
    port : int
        The port taken.

    Raises
    ------
    UsageError
        If the port is not one or is taken, the address is none of this machine, or prometheus-client is not installed.
    """

    def __init__(self, health: Health, port: int, host: str = LOOPBACK) -> None:
        if not 0 <= port <= 65535:
            raise UsageError(f"--http needs a port from 0 (any free one) to 65535, got {port}.")
        try:
            from prometheus_client import CollectorRegistry, generate_latest
        except ImportError as error:
            raise missing("--http", "prometheus-client", "service") from error
        registry = CollectorRegistry()
        registry.register(_Collector(health))
        pages = {
            "/health": lambda: _health_page(health),
            "/metrics": lambda: (200, METRICS_TYPE, generate_latest(registry)),
        }
        try:
            self._server = ThreadingHTTPServer((host, port), partial(_Handler, pages, _loopback_names(host)))
        except OSError as error:
            raise UsageError(
                f"--http needs an address of this machine and a port that is free, got {host}:{port}: "
                f"{error.strerror or error}. Name another, or port 0 for any."
            ) from error
        self._server.daemon_threads = True
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="health-http", daemon=True)

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def describe(self) -> str:
        """Return the line that tells a user where it is."""
        return f"health: http://{self.host}:{self.port}/health and /metrics"


class _Handler(BaseHTTPRequestHandler):
    """Answers one client.

    Parameters
    ----------
    pages : mapping of str to callable
        Path → code, content type and body.
    host_names : set of str or None
        What a request may call this machine; None allows anything.
    args : object
        As the server gives them.
    """

    timeout = PATIENCE_S
    server_version = "bci"
    sys_version = ""

    def __init__(self, pages: Mapping[str, Page], host_names: frozenset[str] | None, *args: Any) -> None:
        self._pages, self._host_names = pages, host_names
        super().__init__(*args)  # answers, and returns when the client has gone

    def do_GET(self) -> None:
        page = self._pages.get(self.path.partition("?")[0])
        if self._host_names is not None and self._asked_host() not in self._host_names:
            # a page in this machine's browser could reach us under a name that leads here
            self._send(403, *_json({"error": "The Host must name this machine."}))
        elif page is None:
            self._send(404, *_json({"error": "There are /health and /metrics."}))
        else:
            self._send(*page())

    do_HEAD = do_GET

    def _asked_host(self) -> str:
        host = self.headers.get("Host", "")
        return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host

    def _send(self, code: int, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, text: str, *values: object) -> None:
        log.debug(text, *values)


class _Collector:
    """Makes the metrics when they are asked for."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
            InfoMetricFamily,
        )

        figures = self._health.figures()
        report = figures.report
        labels = {key: str(report[key] or "") for key in ("stream", "name", "bundle", "engine", "precision")}
        yield InfoMetricFamily("bci_session", "What is decoded, and by what.", labels)
        for name, text, value in _gauges(figures):
            if value is not None:
                yield GaugeMetricFamily(name, text, value)
        for key, text in (
            ("predictions", "Predictions published."),
            ("samples", "Samples received."),
            ("dropped", "Windows skipped for want of time."),
            ("gaps", "Gaps of the stream."),
        ):
            yield CounterMetricFamily(f"bci_{key}", text, report[key])
        events = CounterMetricFamily("bci_events", "Events by kind.", labels=["kind"])
        for kind, n in figures.events.items():
            events.add_metric([kind], n)
        yield events
        items = CounterMetricFamily("bci_sink_items", "What became of an output's items.", labels=["sink", "fate"])
        for sink, fates in report["sinks"].items():
            for fate in ("sent", "dropped", "refused"):
                items.add_metric([sink, fate], fates[fate])
        yield items
        latency = HistogramMetricFamily("bci_latency_seconds", "Latency of predictions.", labels=["stage"])
        for stage, one in figures.latency.items():
            edges = [*(f"{edge:g}" for edge in BUCKETS_S), "+Inf"]
            cumulative = list(zip(edges, map(float, accumulate(one.counts)), strict=True))
            latency.add_metric([stage], cumulative, one.total_s)
        yield latency


def _gauges(figures: Figures) -> tuple[tuple[str, str, float | None], ...]:
    report = figures.report
    return (
        ("bci_healthy", "1 if usable predictions come.", float(report["healthy"])),
        ("bci_state", "State of the alarms: 0 settling to 4 fault.", CODES.get(report["state"])),
        ("bci_prediction_age_seconds", "Time since the newest prediction.", report["prediction_age_s"]),
        ("bci_quality", "Share of valid samples in the newest window.", report["quality"]),
        ("bci_sample_rate_hz", "Samples received per second.", report["rate"]),
    )


def _health_page(health: Health) -> tuple[int, str, bytes]:
    report = health.figures().report
    return (200 if report["healthy"] else 503, *_json(report))


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value, allow_nan=False).encode() + b"\n"


def _loopback_names(host: str) -> frozenset[str] | None:
    """Return the names that a request to a loopback address may use; None where it is not loopback."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    return frozenset({host, f"[{host}]", "localhost", LOOPBACK}) if is_loopback else None
