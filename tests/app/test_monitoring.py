"""What a monitor is told: counters that add up, gauges of the log, and whether each role can do its work."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from tests.patience import PATIENCE
from tests.ports import free_port

from postgres_server import PostgresServer
from pumice.catalog import volume_types
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.store import schema
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.open import open_database
from pumice.store.queue_stats import queue_stats
from pumice.store.tables import operations
from pumice.volumes import create
from pumice_installation import VOLUMES, Installation, state_directory

FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
}
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def metrics(port: int) -> str:
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE)  # a connection of its own
    assert answer.status_code == 200, answer.text
    return answer.text


def scrape(pumice: Installation, port: int | None = None) -> Samples:
    """Every sample, by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics(port or pumice.watched))
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (found, has), value in samples.items() if found == name and wanted <= set(has))


def health(port: int) -> tuple[int, Any]:
    answer = httpx.get(f"http://127.0.0.1:{port}/healthcheck", timeout=PATIENCE)
    return answer.status_code, answer.json()


@contextmanager
def installed(database_url: str | None = None, **environment: str) -> Iterator[Installation]:
    with state_directory() as state:
        pumice = Installation(state, database_url, **FAKE, **environment)
        try:
            yield pumice
        finally:
            pumice.close()


def start(pumice: Installation, *names: str) -> None:
    """Start processes, and wait until their services are up."""
    for name in names:
        pumice.launch(name)
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up(*names), "its services do not come up")


def create_one(pumice: Installation) -> str:
    return str(pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])


@pytest.fixture
def pumice() -> Iterator[Installation]:
    with installed() as one:
        start(one, "serve")
        yield one


def test_what_happened_is_counted(pumice: Installation) -> None:
    before = scrape(pumice)
    volumes = [create_one(pumice) for _ in range(3)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert pumice.http.get(f"{VOLUMES}/none-such").status_code == 404

    def grown(name: str, **labels: str) -> float:
        return total(scrape(pumice), name, **labels) - total(before, name, **labels)

    made = {"kind": "volume.create", "step": "make_bytes", "direction": "do"}
    posted = {"service": "volume", "method": "POST", "route": "/volume/v3/volumes", "status": "2xx"}
    refused = {"route": "/volume/v3/volumes/{id}", "status": "4xx"}
    for number, name, labels in (
        (3, "pumice_operation_moves_total", {"kind": "volume.create", "state": "done"}),
        (3, "pumice_step_seconds_count", made),
        (3, "pumice_step_seconds_count", made | {"outcome": "done"}),
        (3, "pumice_http_request_seconds_count", posted),
        (1, "pumice_http_request_seconds_count", refused),
    ):  # what was answered is counted in a moment
        pumice.wait(lambda it=(name, labels), n=number: grown(it[0], **it[1]) == n, f"not {number} {labels}")
    after = scrape(pumice)
    assert total(after, "pumice_database_up") == 1
    assert total(after, "pumice_worker_slots") == 32


def test_nothing_that_a_client_sends_becomes_a_label(pumice: Installation) -> None:
    before = len(scrape(pumice))
    for n in range(50):
        pumice.http.request(f"ODD{n}", f"{VOLUMES}/{n}-odd/odd-{n}")
        pumice.http.get(f"/odd-{n}")
        pumice.http.get(f"{VOLUMES}?odd={n}")
        pumice.http.post(f"{VOLUMES}/{n}/action", json={f"odd-{n}": {}})
    text = metrics(pumice.watched)
    assert "odd" not in text and "ODD" not in text
    assert len(scrape(pumice)) - before < 100


def test_the_manual_tells_of_every_metric_and_of_no_other(pumice: Installation) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "operating" / "metrics.md").read_text()
    told = set(
        re.findall(r"\bpumice_[a-z_]+[a-z]", manual.replace("`…_in_use`", "`pumice_worker_slots_in_use`"))
    )
    told = {name.removesuffix("_count") for name in told}
    exposed = set(re.findall(r"^# TYPE (pumice_\w+)", metrics(pumice.watched), re.MULTILINE))
    assert told == exposed


def test_every_query_of_the_dashboard_and_of_the_alerts_is_answered(pumice: Installation) -> None:
    operating = Path(__file__).parents[2] / "docs" / "operating"
    dashboard = json.loads((operating / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += re.findall(r"expr: (.*)", (operating / "metrics.md").read_text())
    told = metrics(pumice.watched)
    exposed = set(re.findall(r"^# TYPE (pumice_\w+)", told, re.MULTILINE))
    rows = re.findall(r"^\|.*?\|(.*?)\|", (operating / "metrics.md").read_text(), re.MULTILINE)
    labels = {"le", "instance", *re.findall(r"\w+", " ".join(rows))}
    assert len(queries) > 20
    for query in queries:
        for name in re.findall(r"pumice_\w+", query):
            assert {name, re.sub("_(bucket|count|sum)$", "", name)} & exposed, query
        for asked in re.findall(r"by \(([^)]*)\)", query):
            assert {word.strip() for word in asked.split(",")} <= labels, query


def test_what_there_is_and_what_pools_have_is_told(pumice: Installation) -> None:
    before = scrape(pumice)
    volume = create_one(pumice)
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": volume}}
    pumice.call("POST", "/volume/v3/attachments", body)
    after = scrape(pumice)
    pool = "here@fake#fake"
    assert total(after, "pumice_volumes", status="reserved") == 1
    assert total(after, "pumice_attachments", status="reserved") == 1
    assert total(after, "pumice_pool_volumes") - total(before, "pumice_pool_volumes") == 1
    assert total(after, "pumice_pool_claimed_gib", pool=pool) == 1
    assert (
        total(after, "pumice_pool_total_gib", pool=pool) >= total(after, "pumice_pool_free_gib", pool=pool) > 0
    )
    assert total(after, "pumice_service_up", service="cinder-volume", host="here@fake") == 1
    assert total(after, "pumice_service_disabled") == 0


def test_metrics_that_are_switched_off_cost_not_even_the_import() -> None:
    with installed(PUMICE_METRICS__ENABLED="false") as pumice:
        start(pumice, "serve")
        assert httpx.get(f"http://127.0.0.1:{pumice.watched}/metrics").status_code == 404
        status, told = health(pumice.watched)
        assert (status, told["status"]) == (200, "ok")
    code = "import pumice.app.serve, sys; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_log_is_counted_by_kind_state_and_age(database_url: str) -> None:
    db = open_database(database_url)
    await schema.migrate(db)
    who, tunables = Scope(UserId("u"), ProjectId("p"), frozenset({"member"})), Tunables()

    def work(tx: Transaction) -> None:
        volume_types.make_default(tx, tunables)
        ids = [create.accept(tx, who, create.Wanted(size=1), tunables).operation_id for _ in range(5)]

        def change(number: int, **values: object) -> None:
            tx.execute(sa.update(operations).where(operations.c.id == ids[number]).values(values))

        change(0, created_at=now() - timedelta(seconds=500))
        change(1, created_at=now() - timedelta(seconds=900), lease_until=time.time() + 60, owner="here:x")
        change(2, state="done", settled=True)
        change(3, state="undoing", settled=True, place="volume:gone@files", run_at=time.time() + 60)
        change(4, state="waiting")

    await db.write(work)
    found = await db.read(queue_stats, time.time())
    await db.close()
    assert {(one.state, one.place, one.number) for one in found} == {
        ("running", "scheduler", 2),
        ("cleaning", "volume:gone@files", 1),
        ("waiting", "scheduler", 1),
    }
    oldest = next(one.oldest for one in found if one.state == "running")
    assert oldest is not None and 490 < (now() - oldest).total_seconds() < 600, "what is in hand does not wait"
    assert all(one.oldest is None for one in found if one.state != "running")


@pytest.mark.real
def test_workers_are_told_as_one_and_the_dead_are_not_forgotten(postgres: PostgresServer) -> None:
    name = postgres.take()
    with installed(postgres.url(name)) as pumice:
        api = pumice.launch("api", "--workers", "2")
        pumice.log_in()
        asked = {"service": "volume", "method": "GET", "status": "2xx"}

        def told() -> float:
            return total(scrape(pumice), "pumice_http_request_seconds_count", **asked)

        before = told()
        headers = {"X-Auth-Token": pumice.http.headers["X-Auth-Token"]}
        for _ in range(40):  # each on a connection of its own: either worker may take it
            url = f"http://127.0.0.1:{pumice.port}{VOLUMES}"
            assert httpx.get(url, headers=headers, timeout=PATIENCE).status_code == 200
        pumice.wait(lambda: told() - before == 40.0, "they are not counted")
        assert {told() - before for _ in range(12)} == {40.0}, "who is asked adds up both"
        workers = Path(f"/proc/{api.pid}/task/{api.pid}/children")
        first = workers.read_text().split()
        os.kill(int(first[0]), signal.SIGKILL)
        pumice.wait(
            lambda: len(alive := workers.read_text().split()) == 2 and first[0] not in alive, "none is started"
        )
        assert told() - before >= 40.0
        (directory,) = pumice.state_dir.glob("metrics-*")
        assert {path.stem.rpartition("_")[2] for path in directory.iterdir()} <= {"0", "1"}
        assert pumice.stop("api") == 0
        assert not directory.exists()
    postgres.give_back(name)


@pytest.mark.real
@pytest.mark.timeout(600)
def test_each_role_says_whether_it_is_well_also_while_the_database_is_away() -> None:
    server = PostgresServer()
    ports = {role: free_port() for role in ("api", "scheduler", "volume", "compute")}
    try:
        with installed(server.url(server.take()), PUMICE_METRICS__PORTS=json.dumps(ports)) as pumice:
            pumice.watched = ports["api"]
            start(pumice, "api", "scheduler", "volume", "compute")
            look_at_each_role(pumice, ports, server)
    finally:
        server.close()


def look_at_each_role(pumice: Installation, ports: dict[str, int], server: PostgresServer) -> None:
    for role, port in ports.items():
        pumice.wait(lambda port=port: health(port)[0] == 200, f"{role} is not well")
        status, told = health(port)
        assert (status, told["status"], told["roles"], told["host"]) == (200, "ok", [role], "here"), told
    _, told = health(ports["volume"])
    assert told["services"]["cinder-volume here@fake"]["well"]
    assert total(scrape(pumice, ports["volume"]), "pumice_worker_slots") == 32
    server.stop()
    for role, port in ports.items():
        began = time.monotonic()
        status, told = health(port)
        assert status == 503 and "database" in told["unwell"], (role, told)
        assert time.monotonic() - began < 10, "it answers at once, however busy this machine is"
        assert total(scrape(pumice, port), "pumice_info") == 1, "metrics go on"
    assert total(scrape(pumice), "pumice_database_up") == 0
    server.start()
    for role, port in ports.items():
        pumice.wait(lambda port=port: health(port)[0] == 200, f"{role} does not recover")
    reconnects = "pumice_database_reconnects_total"
    pumice.wait(lambda: total(scrape(pumice, ports["volume"]), reconnects) > 0, "it hears nothing any more")


def test_a_port_that_is_taken_stops_nothing() -> None:
    with installed() as pumice:
        with socket.create_server(("127.0.0.1", pumice.watched)):
            start(pumice, "serve")
            assert "metrics.nowhere" in pumice.log("serve")
        pumice.stop("serve")
        start(pumice, "serve")
        assert total(scrape(pumice), "pumice_info") == 1


def test_on_the_port_of_tenants_only_whether_it_is_well_is_told(pumice: Installation) -> None:
    told = pumice.http.get("/healthcheck")
    assert (told.status_code, told.text) == (200, "OK")
    assert pumice.http.get("/healthcheck?detailed=true").text == "OK"
    assert pumice.http.get("/metrics").status_code == 404
    assert pumice.http.get("/healthcheck/x").status_code == 404
    assert health(pumice.watched)[1]["roles"], "the long answer is where only the operator asks"
