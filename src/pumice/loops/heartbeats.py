"""Say that this host's services are alive, and what their pools hold."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import structlog

from pumice.backends.backups.contract import BackupStore
from pumice.backends.contract import Backend, PoolFacts
from pumice.hypervisor.contract import Hypervisor
from pumice.model.errors import Misconfigured, PumiceError, in_full
from pumice.model.volume import LOCAL_TO_HOST
from pumice.operations.drivers import Drivers
from pumice.operations.places import compute_host, volume_host
from pumice.store import hosts, pools, services
from pumice.store.database import Transaction

logger = structlog.get_logger(__name__)

T = TypeVar("T")

VOLUME, COMPUTE, SCHEDULER = "cinder-volume", "nova-compute", "cinder-scheduler"
BACKUP = services.BACKUP_BINARY
"""The binaries' names as OpenStack's clients know them."""
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a service that answered says; a backend's with its pools, and the ``host@backend`` they are of."""

    heartbeat: services.Heartbeat
    pools: tuple[str, list[dict[str, Any]]] | None = None


@dataclass(slots=True)
class Heartbeats:
    """The heartbeats of one process. A driver that does not answer misses its heartbeat, and so counts as down.

    So does a place where so much hangs that it takes nothing more: what waits there untouched goes elsewhere.
    """

    drivers: Drivers
    host: str
    zone: str
    zones: dict[str, str]
    """The zones of backends that are not in the installation's, by ``host@backend``."""
    schedules: bool = True
    """Whether this process is a scheduler as well."""
    functions: dict[str, dict[str, str]] = field(default_factory=dict)
    """``filter_function`` and ``goodness_function`` of backends that have them, by ``host@backend``."""
    timeout: float = SECONDS
    """How long a driver may take to answer. One that hangs keeps no other from its heartbeat."""
    forgotten: Callable[[], None] = lambda: None
    """Called when this host was given up meanwhile: there is nothing to do any more but to stop."""

    closed: set[str] = field(default_factory=set)
    """Places whose drivers have not started: they have no heartbeat yet."""
    _beating: set[asyncio.Task[None]] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)
    """Places that have not answered yet: they are not asked twice at once."""

    async def pulse(self) -> None:
        """Begin a heartbeat, and wait no longer than for those that answer promptly."""
        beating = asyncio.create_task(self.send())
        self._beating.add(beating)
        beating.add_done_callback(self._beating.discard)
        await asyncio.wait({beating}, timeout=self.timeout / 4)
        if beating.done():
            await beating

    async def introduce(self, place: str) -> None:
        """The first heartbeat of a place that has just opened, as soon as its driver has answered."""
        async with asyncio.TaskGroup() as asking:
            answer = asking.create_task(self._questions()[place]())
        self.closed.discard(place)
        await self._write([answer])

    async def send(self) -> None:
        """Write each service's heartbeat: the prompt ones' in one transaction, the slow ones' in another."""
        async with asyncio.TaskGroup() as asking:
            answers = {
                asking.create_task(question())
                for place, question in self._questions().items()
                if place not in self.closed | self._asked and not self.drivers.bulkheads.is_full(place)
            }
            if not answers:
                return
            prompt, slow = await asyncio.wait(answers, timeout=self.timeout / 5)
            await self._write(prompt)
        await self._write(slow)

    def _questions(self) -> dict[str, Callable[[], Coroutine[Any, Any, Said | None]]]:
        """The questions by which each place shows that it is alive."""
        backends, hypervisors = self.drivers.backends.items(), self.drivers.hypervisors.items()
        return {
            **{volume_host(place): partial(self._ask_backend, place, it) for place, it in backends},
            **{compute_host(host): partial(self._ask_hypervisor, host, it) for host, it in hypervisors},
            **({SCHEDULER: self._ask_scheduler} if self.schedules else {}),
            **({BACKUP: partial(self._ask_backups, store)} if (store := self.drivers.backups) else {}),
        }

    async def _write(self, answers: Collection[asyncio.Task[Said | None]]) -> None:
        said = [answer for task in answers if (answer := task.result())]
        said.sort(
            key=lambda one: (one.heartbeat.binary, one.heartbeat.host)
        )  # all lock their rows in one order
        told = dict(one.pools for one in said if one.pools)

        def work(tx: Transaction) -> None:
            if self.drivers.backends or self.drivers.hypervisors:
                hosts.refuse_forgotten(tx, self.host)
            services.heartbeat(tx, [one.heartbeat for one in said])
            if told:
                pools.report(tx, told)

        if said:
            try:
                await self.drivers.db.write(work)
            except Misconfigured as error:
                logger.error("host.forgotten", error=in_full(error))
                self.forgotten()

    async def _ask(self, place: str, call: str, question: Callable[[], Awaitable[T]]) -> T:
        self._asked.add(place)
        try:
            limit = asyncio.timeout(self.timeout)
            return await self.drivers.bulkheads.at(place).call(call, question, limit)
        finally:
            self._asked.discard(place)

    async def _ask_scheduler(self) -> Said:
        return Said(services.Heartbeat(SCHEDULER, self.host, self.zone))

    async def _ask_backups(self, store: BackupStore) -> Said | None:
        try:
            await self._ask(BACKUP, "look", store.look)
        except (PumiceError, TimeoutError) as error:
            logger.warning("backups.silent", error=in_full(error))
            return None
        facts = {"driver": store.driver, "bucket": store.bucket}
        return Said(services.Heartbeat(BACKUP, self.host, self.zone, facts))

    async def _ask_backend(self, place: str, backend: Backend) -> Said | None:
        try:
            facts = await self._ask(volume_host(place), "pools", backend.pools)
        except (PumiceError, TimeoutError) as error:
            why = in_full(error)
            logger.warning("backend.silent", backend=place, error=why)
            return None
        zone = self.zones.get(place, self.zone)
        target = self.drivers.targets[place]
        protocol = {"driver": backend.driver, "target": target.driver, "storage_protocol": target.protocol}
        more = {
            "online_extend_support": target.grows_in_use,
            LOCAL_TO_HOST: target.local_to_host,
            **self.functions.get(place, {}),
        }
        service = self._service(place)
        heartbeat = services.Heartbeat(
            VOLUME, service, zone, protocol, cluster=place if place != service else None
        )
        return Said(heartbeat, (place, [_row(place, zone, fact, target.protocol, more) for fact in facts]))

    def _service(self, place: str) -> str:
        """This host's service for a backend; the backend itself may be a cluster's."""
        return f"{self.host}@{place.partition('@')[2]}"

    async def _ask_hypervisor(self, host: str, hypervisor: Hypervisor) -> Said | None:
        try:
            connector = await self._ask(compute_host(host), "connector", hypervisor.connector)
        except (PumiceError, TimeoutError) as error:
            logger.warning("hypervisor.silent", host=host, error=in_full(error))
            return None
        facts = {"connector": connector.to_row(), "driver": hypervisor.driver}
        return Said(services.Heartbeat(COMPUTE, host, self.zone, facts))

    async def fall_silent(self) -> None:
        """Have the services of a process that stops be down at once, not after a while."""
        for beating in tuple(self._beating):
            beating.cancel()
        await self.drivers.db.write(services.silence, self.who())

    def who(self) -> list[tuple[str, str]]:
        """The services of this process, each a binary and a host."""
        return [
            *((VOLUME, self._service(place)) for place in self.drivers.backends),
            *((COMPUTE, host) for host in self.drivers.hypervisors),
            *([(SCHEDULER, self.host)] if self.schedules else []),
            *([(BACKUP, self.host)] if self.drivers.backups else []),
        ]


def _row(place: str, zone: str, fact: PoolFacts, protocol: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"{place}#{fact.name}",
        "availability_zone": zone,
        "total_gb": _finite(fact.total_gb),
        "free_gb": _finite(fact.free_gb),
        "thin": fact.thin,
        "max_over_subscription_ratio": fact.max_over_subscription_ratio,
        "reserved_percentage": fact.reserved_percentage,
        "capabilities": {
            "volume_backend_name": place.partition("@")[2],
            "vendor_name": "Pumice",
            "driver_version": "1.0",
            "storage_protocol": protocol,
            "QoS_support": False,
            "multiattach": True,
            **fact.capabilities,
            **more,
        },
    }


def _finite(gigabytes: float) -> float:
    """Databases do not agree on infinity; an exabyte is endless enough."""
    return gigabytes if math.isfinite(gigabytes) else 1e9
