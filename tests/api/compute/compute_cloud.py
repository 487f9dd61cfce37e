"""A cloud by hand: a database, fakes that cost nothing, a worker with every verb, and callers."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from answers import Answers
from compute_answers import LATER, SAMPLES, SCHEMAS
from raw_image import raw_image
from tests.patience import PATIENCE
from witness import refuse_untold, witnessed

from pumice.api.compute.service import compute_service
from pumice.api.context import ApiContext
from pumice.app.verbs import VERBS
from pumice.backends.fake import FakeBackend
from pumice.backends.targets.fake import FakeTarget
from pumice.catalog import flavors, volume_types
from pumice.hypervisor.fake import FakeHypervisor
from pumice.model.errors import Unauthenticated
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.image import Visibility
from pumice.model.scope import Scope
from pumice.model.tunables import RetryPolicy, Tunables
from pumice.operations.completions import Completions
from pumice.operations.drivers import Drivers
from pumice.operations.harness import eventually
from pumice.operations.places import SCHEDULER, compute_host, volume_host
from pumice.operations.runner import Runner
from pumice.store import attachments, images, messages, operations, pools, servers, services, volumes
from pumice.store.database import Database, Transaction
from pumice.store.services import Heartbeat
from pumice.volumes import create
from pumice.volumes.snapshots import create as create_snapshot

PROJECTS = {"ours": new_id(), "theirs": new_id()}
CALLERS = {
    "member": ("ours", "member"),
    "reader": ("ours", "reader"),
    "nobody": ("ours", "guest"),
    "admin": ("ours", "admin"),
    "service": ("ours", "service"),
    "stranger": ("theirs", "member"),
}
BACKEND, POOL, HOST = "here@fake", "here@fake#fake", "here"
LIMIT = PATIENCE


class Names:
    """Tokens that are the names of callers."""

    async def scope_of(self, token: str) -> Scope:
        if token not in CALLERS:
            raise Unauthenticated("The request you have made requires authentication.")
        project, role = CALLERS[token]
        return Scope(UserId(token), ProjectId(PROJECTS[project]), frozenset({role}))


@dataclass
class Cloud:
    """Everything by hand, with the shortest ways to look at it."""

    path: Path
    db: Database
    tunables: Tunables = field(
        default_factory=lambda: Tunables(quotas={}, api_wait_seconds=5.0, service_down_seconds=3600)
    )

    def __post_init__(self) -> None:
        self.backend = FakeBackend()
        self.target = FakeTarget()
        self.hypervisor = FakeHypervisor(host=HOST)
        self.drivers = Drivers(
            self.db,
            open_image=lambda image_id: nullcontext(self.path / image_id),
            backends={BACKEND: self.backend},
            targets={BACKEND: self.target},
            hypervisors={HOST: self.hypervisor},
            detach_seconds=0.2,
        )
        self.completions = Completions(self.db)
        self.seen = witnessed(self.db)
        self.ctx = ApiContext(self.seen, self.completions, Names(), self.tunables)
        self.service = compute_service(self.ctx)
        self.answers = Answers(self.service, SCHEMAS, SAMPLES, LATER)
        self.tasks: list[tuple[Runner, asyncio.Task[None]]] = []
        self.clients: dict[str, httpx.AsyncClient] = {}

    # --- the way things run -----------------------------------------------------------------------

    async def open(self) -> None:
        """Say that the services are up, and begin to work."""
        connector = (await self.hypervisor.connector()).to_row()
        pool = {
            "name": POOL,
            "availability_zone": "nova",
            "total_gb": 10_000.0,
            "free_gb": 10_000.0,
            "thin": True,
            "max_over_subscription_ratio": 20.0,
            "reserved_percentage": 0,
            "capabilities": {"multiattach": True},
        }

        def work(tx: Transaction) -> None:
            volume_types.make_default(tx, self.tunables)
            flavors.make_defaults(tx)
            compute = {"connector": connector, "driver": "fake"}
            heartbeats = [
                Heartbeat("cinder-volume", BACKEND, "nova"),
                Heartbeat("nova-compute", HOST, "nova", compute),
            ]
            services.heartbeat(tx, heartbeats)
            pools.report(tx, {BACKEND: [pool]})

        await self.db.write(work)
        self.start()

    def start(self, boot: str = "1", **how: Any) -> Runner:
        """A worker for every place. One more after ``kill`` is a restart."""
        places = how.pop("places", (SCHEDULER, volume_host(BACKEND), compute_host(HOST)))
        runner = Runner(
            self.db,
            VERBS,
            self.drivers,
            host=HOST,
            boot=boot,
            places=places,
            tunables=replace(self.tunables, retry_policy=RetryPolicy(first=0.01)),
            **how,
        )
        self.tasks.append((runner, asyncio.create_task(runner.run())))
        return runner

    async def kill(self) -> None:
        """Drop every worker where it stands."""
        for _, task in self.tasks:
            task.cancel()
        await asyncio.gather(*(task for _, task in self.tasks), return_exceptions=True)
        self.tasks = []

    async def close(self) -> None:
        """The end."""
        for client in self.clients.values():
            await client.aclose()
        await self.kill()
        refuse_untold(self.seen)

    # --- asking -----------------------------------------------------------------------------------

    def client(self, caller: str = "member", version: str | None = "2.90") -> httpx.AsyncClient:
        """A client of one of the ``CALLERS``, at one version."""
        key = f"{caller} {version}"
        if key not in self.clients:
            headers = {"X-Auth-Token": caller}
            if version:
                headers["OpenStack-API-Version"] = f"compute {version}"
            self.clients[key] = httpx.AsyncClient(
                transport=httpx.ASGITransport(app=self.service),  # type: ignore[arg-type]
                base_url="http://cloud/compute/v2.1",
                headers=headers,
                event_hooks={"response": [self.answers.hold]},
            )
        return self.clients[key]

    async def ask(
        self, method: str, path: str, body: Any = None, *, caller: str = "member", version: str | None = "2.90"
    ) -> httpx.Response:
        """One request."""
        return await self.client(caller, version).request(method, path, json=body)

    async def get(self, path: str, *, caller: str = "member", version: str | None = "2.90") -> Any:
        """What a GET that succeeds answers."""
        answer = await self.ask("GET", path, caller=caller, version=version)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, *, expect: int = 202, **how: Any) -> Any:
        """What a POST that ends as expected answers."""
        answer = await self.ask("POST", path, body, **how)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    # --- things -----------------------------------------------------------------------------------

    def who(self, caller: str = "member") -> Scope:
        """A caller as the rooms below know one."""
        project, role = CALLERS[caller]
        return Scope(UserId(caller), ProjectId(PROJECTS[project]), frozenset({role}))

    async def volume(self, *, bootable: bool = False, multiattach: bool = False, caller: str = "member") -> str:
        """A volume that is available."""
        wanted = create.Wanted(size=1, name="v")
        volume = await self.db.write(create.accept, self.who(caller), wanted, self.tunables)
        assert volume.operation_id is not None
        assert await self.completions.wait(volume.operation_id, LIMIT) == (True, None)
        await self.db.write(volumes.change, volume.id, bootable=bootable, multiattach=multiattach)
        return volume.id

    async def snapshot(self, volume_id: str, *, caller: str = "member") -> str:
        """A snapshot that is available."""
        asked: dict[str, Any] = {"name": "s", "description": None, "metadata": {}, "in_use": False}
        accept = functools.partial(create_snapshot.accept, **asked, tunables=self.tunables)
        made = await self.db.write(accept, self.who(caller), volume_id)
        assert made.operation_id is not None
        assert await self.completions.wait(made.operation_id, LIMIT) == (True, None)
        return made.id

    async def image(self, *, visibility: Visibility = Visibility.PUBLIC, **attributes: Any) -> str:
        """A raw image of one MiB that everybody sees, if nothing else is said."""
        image = raw_image(PROJECTS["ours"], visibility, **attributes)
        with (self.path / image.id).open("wb") as file:
            file.truncate(image.size)
        await self.db.write(images.insert, image)
        return image.id

    @staticmethod
    def body(image: str | None = None, **more: Any) -> dict[str, Any]:
        """A create request: from an image on local disk, or as ``more`` says."""
        server: dict[str, Any] = {"name": "one", "flavorRef": "42", "networks": "none", **more}
        return {"server": {**server, "imageRef": image} if image else server}

    @staticmethod
    def from_volume(volume_id: str, **more: Any) -> dict[str, Any]:
        """The mapping of a root volume."""
        return {
            "source_type": "volume",
            "destination_type": "volume",
            "uuid": volume_id,
            "boot_index": 0,
            **more,
        }

    async def server(self, status: str = "ACTIVE", **more: Any) -> str:
        """A server that has come up."""
        if "block_device_mapping_v2" not in more:
            more["image"] = await self.image()
        answer = await self.post("/servers", self.body(**more))
        await self.until_status(answer["server"]["id"], status)
        return str(answer["server"]["id"])

    async def server_of(self, image: str, flavor: str) -> str:
        """A server of this image and flavor that has come up."""
        answer = await self.post("/servers", self.body(image, flavorRef=flavor))
        await self.until_status(answer["server"]["id"], "ACTIVE")
        return str(answer["server"]["id"])

    async def attach(self, server_id: str, volume_id: str, **more: Any) -> Any:
        """Attach a volume, and wait until it is in use."""
        body = {"volumeAttachment": {"volumeId": volume_id, **more}}
        answer = await self.post(f"/servers/{server_id}/os-volume_attachments", body, expect=200)
        await self.until_volume(volume_id, "in-use")
        return answer["volumeAttachment"]

    # --- waiting ----------------------------------------------------------------------------------

    async def until(self, true: Callable[[], Awaitable[bool]], what: Callable[[], Awaitable[Any]]) -> None:
        """Look again and again until something is true."""

        async def look() -> bool | None:
            return await true() or None

        try:
            await eventually(self.db, look)
        except TimeoutError:
            raise AssertionError(await what()) from None

    async def until_status(self, server_id: str, status: str) -> Any:
        """Wait for a server's status with no task under way. The server."""

        async def look() -> Any:
            return await self.db.read(servers.find, server_id)

        async def there() -> bool:
            server = await look()
            return server is not None and server.status == status and server.task is None

        await self.until(there, look)
        return await look()

    async def until_gone(self, server_id: str) -> None:
        """Wait until a server is deleted."""

        async def look() -> Any:
            return await self.db.read(servers.find, server_id)

        async def gone() -> bool:
            return await look() is None

        await self.until(gone, look)

    async def volume_status(self, volume_id: str) -> str | None:
        """A volume's status; None when it is gone."""
        volume = await self.db.read(volumes.find, volume_id)
        return volume.status if volume else None

    async def until_volume(self, volume_id: str, status: str | None) -> None:
        """Wait for a volume's status."""

        async def there() -> bool:
            return await self.volume_status(volume_id) == status

        await self.until(there, lambda: self.db.read(volumes.find, volume_id))

    async def until_quiet(self) -> None:
        """Wait until no operation is under way."""

        async def look() -> list[Any]:
            alive = ("running", "waiting", "undoing")
            rows = await self.db.read(operations.page, states=alive, kind=None, subject=None, limit=100)
            return [(row["kind"], row["state"], row["steps"][row["position"]], row["error"]) for row in rows]

        async def quiet() -> bool:
            return not await look()

        await self.until(quiet, look)

    async def messages_of(self, volume_id: str) -> list[str]:
        """What tenants can read of a volume's failures."""
        rows = await self.db.read(lambda tx: tx.execute(messages.messages.select()).mappings().all())
        return [row["text"] for row in rows if row["resource_id"] == volume_id]

    async def check_invariants(self) -> None:
        """At every quiet moment: rows, exports, machines and volumes tell the same."""
        exports = await self.target.exports()
        machines = await self.hypervisor.machines()
        pages = {"limit": 1000, "marker": None, "sort": (("created_at", True),), "all_projects": True}

        def rows(tx: Transaction) -> Any:
            found = servers.page(tx, self.who("admin"), **pages)  # type: ignore[arg-type]
            return (
                found,
                servers.disks_of(tx, [server.id for server in found]),
                volumes.page(tx, self.who("admin"), **pages),  # type: ignore[arg-type]
                attachments.page(tx, self.who("admin"), **pages),  # type: ignore[arg-type]
            )

        found, disks, known_volumes, links = await self.db.read(rows)
        assert machines == {server.id for server in found if server.host}
        in_use = {volume.id for volume in known_volumes if volume.status == "in-use"}
        assert in_use == {link.volume_id for link in links if link.status == "attached"}
        assert {link.id for link in links} == {
            disk.attachment_id for some in disks.values() for disk in some if disk.attachment_id
        }
        assert {name for names in exports.values() for name in names} == {
            link.chap_username for link in links if link.connector
        }
        for server in (server for server in found if server.host):
            should = {disk.volume_id or disk.id for disk in disks.get(server.id, [])}
            assert await self.hypervisor.disks(server.id) == should
