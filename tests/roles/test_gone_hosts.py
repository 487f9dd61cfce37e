"""A host whose processes are killed for good is forgotten by the command, and whatever waited for it ends."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from roles_installation import Installation
from tests.patience import PATIENCE
from tests.pumice_installation import SERVERS, VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.long, pytest.mark.real, pytest.mark.timeout(600)]
THERE = ("volume", "compute")


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    """Two hosts, each with a backend and a hypervisor."""
    name = postgres.take()
    fake = {"fake0": {"driver": "fake", "target": "fake"}}
    pumice = Installation(tmp_path, postgres.url(name), PUMICE_BACKENDS=json.dumps(fake))
    pumice.start_all()
    for role in THERE:
        pumice.start(role, host="there")
        pumice.works(f"{role} there")
    yield pumice
    pumice.close()
    postgres.give_back(name)


def pools(pumice: Installation, *volumes: str) -> list[str]:
    return [pumice.call("GET", f"{VOLUMES}/{it}")["volume"]["os-vol-host-attr:host"] for it in volumes]


def test_what_waited_for_it_ends_and_it_does_not_come_back(pumice: Installation) -> None:
    volumes = [pumice.create() for _ in range(8)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
        pumice.call("POST", f"{VOLUMES}/{volume}/action", {"os-set_bootable": {"bootable": True}})
    where = dict(zip(volumes, pools(pumice, *volumes), strict=True))
    here = [volume for volume, pool in where.items() if pool.startswith("here@")]
    there = [volume for volume, pool in where.items() if pool.startswith("there@")]
    assert len(here) >= 2
    assert len(there) >= 2
    servers = [pumice.boot(volume) for volume in here[:2]]
    for server in servers:
        pumice.becomes(f"{SERVERS}/{server}", "server", "ACTIVE")
    hosts = [pumice.call("GET", f"{SERVERS}/{it}")["server"]["OS-EXT-SRV-ATTR:host"] for it in servers]
    assert sorted(hosts) == ["here", "there"]
    lost, root = next(
        (server, volume) for server, volume, host in zip(servers, here, hosts, strict=False) if host == "there"
    )
    for role in THERE:
        pumice.kill(f"{role} there")
    assert pumice.http.delete(f"{VOLUMES}/{there[0]}").status_code == 202
    pumice.call("POST", f"{SERVERS}/{lost}/action", {"os-stop": None})

    assert "heard of" in pumice.command("hosts", "forget", "there", "--yes").stderr
    asyncio.run(silence(pumice.database_url or ""))
    told = pumice.command("hosts", "forget", "there").stdout
    assert "2 operations" in told
    assert pumice.command("hosts", "forget", "there", "--yes").returncode == 0

    pumice.becomes(f"{VOLUMES}/{there[0]}", "volume", "gone")
    pumice.becomes(f"{VOLUMES}/{there[1]}", "volume", "error")
    pumice.becomes(f"{SERVERS}/{lost}", "server", "ERROR")
    pumice.becomes(f"{VOLUMES}/{root}", "volume", "available")
    assert pumice.http.delete(f"{VOLUMES}/{there[1]}").status_code == 202
    assert pumice.http.delete(f"{SERVERS}/{lost}").status_code == 204
    pumice.becomes(f"{VOLUMES}/{there[1]}", "volume", "gone")
    pumice.becomes(f"{SERVERS}/{lost}", "server", "gone")
    pumice.settle()
    assert pumice.wrong_rows() == []
    back = pumice.start("volume", host="there")
    assert back.wait(PATIENCE) == 1
    assert "Host 'there' was forgotten on" in pumice.log("volume there")


async def silence(url: str) -> None:
    """As if an hour had passed."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "UPDATE services SET updated_at = updated_at - interval '1 hour' WHERE host LIKE 'there%'"
    )
    await connection.close()


def test_one_that_is_taken_away_for_good_as_the_page_says(pumice: Installation) -> None:
    volumes = [pumice.create() for _ in range(4)]
    for volume in volumes:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    pumice.settle()
    there = [it for it, pool in zip(volumes, pools(pumice, *volumes), strict=True) if pool.startswith("there@")]
    assert there, "neither host is preferred"

    drained = pumice.command("hosts", "drain", "there", "--reason", "new disks")
    assert drained.returncode == 0 and all(volume[:8] in drained.stdout for volume in there)
    more = [pumice.create() for _ in range(4)]
    for volume in more:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert {pool.partition("@")[0] for pool in pools(pumice, *more)} == {"here"}

    for volume in there:
        assert pumice.http.delete(f"{VOLUMES}/{volume}").status_code == 202
    assert "there is empty" in pumice.command("hosts", "drain", "there", "--reason", "new disks").stdout
    for role in THERE:
        assert pumice.stop(f"{role} there") == 0
    asyncio.run(silence(pumice.database_url or ""))
    told = pumice.command("hosts", "forget", "there").stdout
    assert "0 operations" in told and "0 volumes" in told and "0 servers" in told
    assert pumice.command("hosts", "forget", "there", "--yes").returncode == 0
    assert "there" not in {row["host"].partition("@")[0] for row in services(pumice)}
    assert pumice.wrong_rows() == []


def services(pumice: Installation) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = pumice.call("GET", "/volume/v3/os-services")["services"]
    return listed
