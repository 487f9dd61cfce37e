"""A volume moves to another backend and back while a Linux guest writes to it, plain and encrypted."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pumice_process import PumiceProcess, installation
from stories import SERVERS, VOLUMES, Stories

from pumice.app.tour.run import cache_dir

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# One line in each sector from the second on, each on the disk before the next begins.
WRITE = "echo line $n | dd of=/dev/vdb bs=512 seek=$n conv=fsync,notrunc 2>/dev/null"
READ = "dd if=/dev/vdb bs=512 skip=$i count=1 2>/dev/null | tr -d '\\0'"


@pytest.fixture(scope="module")
def cloud() -> Iterator[PumiceProcess]:
    with installation(PUMICE_COMPUTE__DETACH_SECONDS="20") as pumice:
        pools = {name: {"pool": str(pumice.state_dir / name)} for name in ("one", "two")}
        backends = {name: {"driver": "files", "pools": pool} for name, pool in pools.items()}
        pumice.environment["PUMICE_BACKENDS"] = json.dumps(backends)
        pumice.start()
        yield pumice


@pytest.mark.parametrize(
    "kinds", [("plain",), pytest.param(("plain", "encrypted"), marks=pytest.mark.long)], ids=" ".join
)
def test_what_a_guest_wrote_before_meanwhile_and_after_is_there(
    cloud: PumiceProcess, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    stories = Stories(cloud)
    stories.upload_guest(tmp_path, cache_dir())
    server = stories.boot(stories.settled(stories.create(imageRef=stories.image)))
    cloud.settle()
    stories.wait_for_guest(server)
    for number, kind in enumerate(kinds, start=1):
        wanted = {"volume_type": stories.encrypted_type()} if kind == "encrypted" else {}
        volume = stories.settled(stories.create(**wanted))
        stories.attach(server, volume)
        stories.settled(volume, "in-use")
        cloud.wait(partial(says, stories, server, "PUMICE-GUEST disk vdb", number), "the guest has no disk")
        stories.type_into(
            server, f"rm -f /stop; n=1; while [ ! -e /stop ]; do {WRITE}; n=$((n+1)); echo $n > /n; done &"
        )
        attachment = link(stories, server)
        for _ in range(2):
            before = place(stories, volume)
            there = before.replace("one", "two") if "one" in before else before.replace("two", "one")
            cloud.call("POST", f"{VOLUMES}/{volume}/action", {"os-migrate_volume": {"host": there}})
            stories.settled(volume, "in-use")
            shown = cloud.call("GET", f"{VOLUMES}/{volume}")["volume"]
            assert (place(stories, volume), shown["migration_status"]) == (there, "success")
        assert link(stories, server) == attachment
        stories.type_into(server, "touch /stop; sleep 1; echo wrote up to $(cat /n).")
        every = f'i=1; while {READ} | grep -qx "line $i"; do i=$((i+1)); done; echo read up to $i.'
        stories.type_into(server, every)
        cloud.wait(partial(says, stories, server, "read up to", number), "the guest does not read", 60)
        [*_, said] = [it for it in stories.console(server).splitlines() if it.startswith("read up to")]
        read = int(said.removeprefix("read up to ").rstrip("."))
        assert f"wrote up to {read}." in stories.console(server) and read > 10
        stories.detach(server, volume)
        stories.settled(volume)
        assert cloud.violations() == []
        stories.delete(f"{VOLUMES}/{volume}")
    stories.delete(f"{SERVERS}/{server}")
    cloud.settle()
    assert cloud.violations() == []


def says(stories: Stories, server: str, words: str, times: int) -> bool:
    """Whether the guest has said so, so many times."""
    return stories.console(server).count(words) == times


def place(stories: Stories, volume: str) -> str:
    return str(stories.pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]["os-vol-host-attr:host"])


def link(stories: Stories, server: str) -> object:
    """How the server has its second disk."""
    links = stories.pumice.call("GET", f"{SERVERS}/{server}/os-volume_attachments")["volumeAttachments"]
    return next(it for it in links if it["device"] == "/dev/vdb")
