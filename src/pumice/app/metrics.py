"""What Prometheus reads of a process: what the rooms told it, and what the log looks like right now.

Counters and histograms live in the process. Workers of one API (``app/workers.py``) keep theirs in files of a
directory they share, one set for each worker's number, and whichever is asked adds them up: so a scrape sees
the whole service, and a worker that died is not forgotten. Gauges of the log are read at the scrape.

Labels come from short lists of our own; nothing that a client sends becomes one. See decision 8.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import __version__
from pumice.model.metrics_sink import MetricsSink

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

STEP_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"


class Metrics(MetricsSink):
    """A sink that adds up. ``worker`` is this process's number among those that share ``directory``."""

    content_type = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self, directory: Path | None = None, worker: int = 0) -> None:
        if directory is not None:
            os.environ[_DIRECTORY] = str(directory)  # read by the library, each time a file is opened
        import prometheus_client as prometheus  # not before there is something to count
        from prometheus_client import multiprocess, values

        if directory is not None:
            values.ValueClass = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        told = prometheus.CollectorRegistry()
        self._registry = told
        if directory is not None:
            self._registry = prometheus.CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry, str(directory))  # type: ignore[no-untyped-call]
        else:
            prometheus.ProcessCollector(registry=told)
        self._steps = prometheus.Histogram(
            "pumice_step_seconds",
            "Steps whose line in the log was committed.",
            ("kind", "step", "direction", "outcome"),
            registry=told,
            buckets=STEP_SECONDS,
        )
        self._moves = prometheus.Counter(
            "pumice_operation_moves",
            "Operations that came into a state: undoing, done, failed…",
            ("kind", "state"),
            registry=told,
        )
        self._lease_losses = prometheus.Counter(
            "pumice_lease_losses", "Operations another worker had taken over.", ("kind",), registry=told
        )
        self._given_up = prometheus.Counter(
            "pumice_deadlines_passed", "Operations that were ended by their deadline.", registry=told
        )
        self._unread = prometheus.Counter(
            "pumice_operations_unread",
            "Times that this version could not go on with an operation.",
            ("kind",),
            registry=told,
        )
        self._notified = prometheus.Counter(
            "pumice_notifications", "Notifications that the broker has taken.", registry=told
        )
        self._notifications_failed = prometheus.Counter(
            "pumice_notifications_failed",
            "Times that the broker took none: they are late.",
            registry=told,
        )
        self._reruns = prometheus.Counter(
            "pumice_transactions_rerun", "Transactions that had to run again.", ("why",), registry=told
        )
        self._reconnects = prometheus.Counter(
            "pumice_database_reconnects", "Times that notifications may have been missed.", registry=told
        )
        self._schedule_runs = prometheus.Counter(
            "pumice_schedule_runs",
            "Runs of schedules that have ended: done, failed.",
            ("makes", "state"),
            registry=told,
        )
        self._requests = prometheus.Histogram(
            "pumice_http_request_seconds",
            "Requests until the answer's head was ready.",
            ("service", "method", "route", "status"),
            registry=told,
            buckets=REQUEST_SECONDS,
        )

    def step(self, kind: str, step: str, direction: str, outcome: str, seconds: float) -> None:
        """See ``MetricsSink``."""
        self._steps.labels(kind, step, direction, outcome).observe(seconds)

    def moved(self, kind: str, state: str) -> None:
        """See ``MetricsSink``."""
        self._moves.labels(kind, state).inc()

    def lease_lost(self, kind: str) -> None:
        """See ``MetricsSink``."""
        self._lease_losses.labels(kind).inc()

    def given_up(self, number: int = 1) -> None:
        """See ``MetricsSink``."""
        self._given_up.inc(number)

    def unread(self, kind: str) -> None:
        """See ``MetricsSink``."""
        self._unread.labels(kind).inc()

    def notified(self, number: int) -> None:
        """See ``MetricsSink``."""
        self._notified.inc(number)

    def notifications_failed(self) -> None:
        """See ``MetricsSink``."""
        self._notifications_failed.inc()

    def rerun(self, why: str) -> None:
        """See ``MetricsSink``."""
        self._reruns.labels(why).inc()

    def schedule_run(self, makes: str, state: str) -> None:
        """See ``MetricsSink``."""
        self._schedule_runs.labels(makes, state).inc()

    def reconnected(self) -> None:
        """The process listens to the database again, after a while in which it did not."""
        self._reconnects.inc()

    def request(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        """See ``MetricsSink``. A method that no route has is ``other``."""
        known = method if method in _METHODS else "other"
        self._requests.labels(service, known, route, f"{status // 100}xx").observe(seconds)

    def text(self, gauges: Iterable["Metric"]) -> bytes:
        """All counted so far, and these gauges, in Prometheus's format."""
        import prometheus_client as prometheus

        now = prometheus.CollectorRegistry()
        now.register(_Given(gauges))
        return prometheus.generate_latest(self._registry) + prometheus.generate_latest(now)


class _Given:
    """A collector that hands out the metrics it was given."""

    def __init__(self, metrics: Iterable["Metric"]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator["Metric"]:
        return iter(self._metrics)


def gauge(
    name: str, meaning: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], float]
) -> "Metric":
    """A gauge with one value for each set of labels."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, meaning, labels=labels)
    for words, value in values.items():
        family.add_metric(words, value)
    return family


def build_info(roles: Iterable[str], host: str) -> "Metric":
    """Always 1: its labels say what runs here."""
    labels: dict[tuple[str, ...], float] = {(__version__, "+".join(sorted(roles)), host): 1.0}
    return gauge("pumice_info", "What runs here.", ("version", "roles", "host"), labels)
