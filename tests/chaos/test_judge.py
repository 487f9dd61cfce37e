"""What the judge of chaos takes for the end of a request, of which the log has more than one row."""

from dataclasses import replace

from fake_world import FLAVOR, HOST, TENANT, FakeWorld, fake_world
from tests.chaos.caller import asked_for

from pumice.backends.fake import FakeBackend
from pumice.model.errors import TryAnotherBackend
from pumice.operations.harness import quiet, working
from pumice.operations.state_machine import no_faults
from pumice.servers import boot
from pumice.store import operations
from pumice.volumes import create

WHO = replace(TENANT, request_id="req-judged")


async def ended(world: FakeWorld, kind: str) -> tuple[str, list[str]]:
    """How the request ended for the judge; the states of all that it began of this kind."""
    await quiet(world)
    newest = await world.db.read(operations.page, states=None, kind=kind, subject=None, limit=100)
    rows = [row for row in reversed(newest) if row["request_id"] == WHO.request_id]
    asked = asked_for(kind, rows)
    assert asked is not None
    return asked["state"], [row["state"] for row in rows]


async def test_a_create_that_went_elsewhere_is_done_although_what_cleans_up_behind_it_failed() -> None:
    backends = {f"{HOST}@{name}": FakeBackend(("p",), capacity_gb=size) for name, size in (("a", 9), ("b", 5))}
    async with fake_world(backends) as world, working(world, "at-work", no_faults):
        backends[f"{HOST}@a"].fail_next |= {
            "create": TryAnotherBackend("read-only"),
            "delete": TryAnotherBackend("read-only"),
        }
        volume = await world.db.write(create.accept, WHO, create.Wanted(size=1), world.tunables)
        assert await ended(world, "volume.create") == ("done", ["done", "failed"])
        assert await world.volume_status(volume.id) == "available"


async def test_a_boot_that_was_cancelled_has_failed_although_others_wait_for_it() -> None:
    """The delete of a volume that was made for it waits for the boot, which that makes its child."""
    async with fake_world() as world:
        made = create.Wanted(size=1, image_id=await world.an_image())
        disk = boot.DiskWanted(boot_index=0, new_volume=made, delete_on_termination=True)
        wanted = boot.ServerWanted(name="server", flavor=FLAVOR, disks=[disk])
        server = await world.db.write(boot.accept, WHO, wanted, world.tunables)
        assert server.operation_id is not None
        assert await world.db.write(operations.ask_to_cancel, server.operation_id)
        async with working(world, "at-work", no_faults):
            assert await ended(world, "server.boot") == ("failed", ["failed"])
        row = await world.db.read(operations.get, server.operation_id)
        assert row is not None
        assert row["parent_id"]
        assert await world.server_status(server.id) == "ERROR"
