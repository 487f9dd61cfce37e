"""A host that never returns: what needs it ends at its deadline, explained, and is cleaned up later."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from roles_installation import FAKE, Installation
from tests.patience import PATIENCE
from tests.pumice_installation import SERVERS, SNAPSHOTS, VOLUMES

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SECONDS = 12.0
"""More than a busy machine takes for an operation whose host is there."""
KINDS = ("volume.create", "volume.delete", "volume.extend", "snapshot.create", "snapshot.delete")
ON_COMPUTE = (
    "server.attach_volume",
    "server.detach_volume",
    "server.boot",
    "server.delete",
    "attachment.connect",
)


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    name = postgres.take()
    files = {**FAKE, "driver": "files", "pools": {"pool": str(tmp_path / "bytes")}, "delay": 0.0}
    installation = Installation(tmp_path, postgres.url(name), PUMICE_BACKENDS=json.dumps({"files": files}))
    installation.start_all()
    yield installation
    installation.close()
    postgres.give_back(name)


def hurry(pumice: Installation, *kinds: str) -> None:
    """From now on operations of these kinds have little time."""
    pumice.stop("api")
    pumice.start("api", PUMICE_OPERATIONS__DEADLINES=json.dumps(dict.fromkeys(kinds, SECONDS)))
    pumice.log_in()


def volumes(pumice: Installation, number: int) -> list[str]:
    made = [pumice.create() for _ in range(number)]
    for volume in made:
        pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    return made


def told(pumice: Installation) -> dict[str, str]:
    """What messages say, by the resource they are about."""
    found = pumice.call("GET", "/volume/v3/messages")["messages"]
    return {one["resource_uuid"]: one["user_message"] for one in found}


def test_without_its_volume_host_everything_ends_in_an_explained_error(pumice: Installation) -> None:
    deleted, extended, source, snapped = volumes(pumice, 4)
    snapshot = snap(pumice, snapped)
    pumice.becomes(f"{SNAPSHOTS}/{snapshot}", "snapshot", "available")
    hurry(pumice, *KINDS)
    pumice.kill("volume")
    created = pumice.create()
    pumice.call("DELETE", f"{VOLUMES}/{deleted}")
    pumice.call("POST", f"{VOLUMES}/{extended}/action", {"os-extend": {"new_size": 2}})
    half = snap(pumice, source)
    pumice.call("DELETE", f"{SNAPSHOTS}/{snapshot}")
    for path, kind, status in (
        (f"{VOLUMES}/{created}", "volume", "error"),
        (f"{VOLUMES}/{deleted}", "volume", "error_deleting"),
        (f"{VOLUMES}/{extended}", "volume", "available"),
        (f"{SNAPSHOTS}/{half}", "snapshot", "error"),
        (f"{SNAPSHOTS}/{snapshot}", "snapshot", "error_deleting"),
    ):
        pumice.becomes(path, kind, status)
    messages = told(pumice)
    for thing in (created, deleted, extended, half, snapshot):
        assert "did not end in time" in messages[thing], messages
    pumice.settle()  # nothing was begun there, so nothing waits for it
    come_back(pumice, "volume")
    pumice.call("DELETE", f"{VOLUMES}/{deleted}")
    pumice.becomes(f"{VOLUMES}/{deleted}", "volume", "gone")


def test_without_its_compute_host_everything_ends_in_an_explained_error(pumice: Installation) -> None:
    root, other, attached, detached = volumes(pumice, 4)
    for volume in (root, other):
        pumice.call("POST", f"{VOLUMES}/{volume}/action", {"os-set_bootable": {"bootable": True}})
    server, doomed = pumice.boot(root), None
    pumice.becomes(f"{SERVERS}/{server}", "server", "ACTIVE")
    attach(pumice, server, detached)
    pumice.becomes(f"{VOLUMES}/{detached}", "volume", "in-use")
    hurry(pumice, *ON_COMPUTE)
    pumice.kill("compute")
    attach(pumice, server, attached)
    pumice.call("DELETE", f"{SERVERS}/{server}/os-volume_attachments/{detached}")
    doomed = pumice.boot(other)
    pumice.becomes(f"{SERVERS}/{doomed}", "server", "ERROR")
    fault = pumice.call("GET", f"{SERVERS}/{doomed}")["server"]["fault"]
    assert "did not end in time" in fault["message"]
    pumice.wait(lambda: {attached, detached} <= told(pumice).keys(), f"nothing is told: {told(pumice)}")
    assert "did not end in time" in told(pumice)[attached]
    assert "did not end in time" in told(pumice)[detached]
    pumice.becomes(f"{VOLUMES}/{detached}", "volume", "in-use")
    pumice.becomes(f"{VOLUMES}/{attached}", "volume", "available")
    pumice.becomes(f"{VOLUMES}/{other}", "volume", "available")
    pumice.settle()  # nothing was begun there, so nothing waits for it
    come_back(pumice, "compute")


def come_back(pumice: Installation, role: str) -> None:
    """The host returns: what was left to clean is cleaned, and nothing is left over."""
    pumice.start(role)
    pumice.settle()
    assert pumice.wrong_rows() == []
    for shelf in ("volumes", "snapshots"):
        ids = pumice.rows(f"SELECT id FROM {shelf} ORDER BY id")  # noqa: S608
        there = sorted(path.name for path in (pumice.state_dir / "bytes" / shelf).iterdir())
        assert set(there) <= set(ids), "something was left over"


def snap(pumice: Installation, volume: str) -> str:
    body = {"snapshot": {"volume_id": volume, "force": True}}
    return str(pumice.call("POST", SNAPSHOTS, body)["snapshot"]["id"])


def attach(pumice: Installation, server: str, volume: str) -> None:
    body = {"volumeAttachment": {"volumeId": volume}}
    pumice.call("POST", f"{SERVERS}/{server}/os-volume_attachments", body)


def test_a_deadline_of_an_unknown_kind_is_refused(pumice: Installation) -> None:
    process = pumice.start("volume", host="there", PUMICE_OPERATIONS__DEADLINES='{"volume.crate": 5}')
    assert process.wait(PATIENCE) == 1
    assert "no kind of operation: volume.crate" in pumice.log("volume there")
