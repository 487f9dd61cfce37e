"""Say that this host's services are alive, and what their pools hold."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

import structlog

from pumice.backends.contract import Backend, PoolFacts
from pumice.hypervisor.contract import Hypervisor
from pumice.model.errors import PumiceError
from pumice.operations.hands import Hands
from pumice.store import pools, services
from pumice.store.database import Transaction

logger = structlog.get_logger(__name__)

VOLUME, COMPUTE, SCHEDULER = "cinder-volume", "nova-compute", "cinder-scheduler"
"""The binaries' names as the incumbents' clients know them."""
SECONDS = 10.0


@dataclass(slots=True)
class Heartbeats:
    """The heartbeats of one process. A driver that does not answer misses its beat, and so counts as down."""

    hands: Hands
    host: str
    zone: str
    zones: dict[str, str]
    """The zones of backends that are not in the installation's, by ``host@backend``."""
    schedules: bool = True
    """Whether this process is a scheduler as well."""
    functions: dict[str, dict[str, str]] = field(default_factory=dict)
    """``filter_function`` and ``goodness_function`` of backends that have them, by ``host@backend``."""
    patience: float = SECONDS
    """How long a driver may take to answer. One that hangs keeps no other from its beat."""

    async def beat(self) -> None:
        """One beat of every service."""
        if self.schedules:
            await self.hands.db.write(services.heartbeat, SCHEDULER, self.host, self.zone, {})
        async with asyncio.TaskGroup() as beats:
            for place, backend in self.hands.backends.items():
                beats.create_task(self._beat_backend(place, backend))
            for host, hypervisor in self.hands.hypervisors.items():
                beats.create_task(self._beat_hypervisor(host, hypervisor))

    async def _beat_backend(self, place: str, backend: Backend) -> None:
        try:
            async with asyncio.timeout(self.patience):
                facts = await backend.pools()
        except (PumiceError, TimeoutError) as error:
            logger.warning("backend.silent", backend=place, error=str(error) or "no answer in time")
            return
        zone = self.zones.get(place, self.zone)
        target = self.hands.targets[place]
        protocol = {"driver": backend.driver, "target": target.driver, "storage_protocol": target.protocol}
        own = self.functions.get(place, {})
        rows = [_row(place, zone, fact, protocol, own) for fact in facts]

        def work(tx: Transaction) -> None:
            services.heartbeat(tx, VOLUME, place, zone, protocol)
            pools.report(tx, place, rows)

        await self.hands.db.write(work)

    async def _beat_hypervisor(self, host: str, hypervisor: Hypervisor) -> None:
        try:
            async with asyncio.timeout(self.patience):
                connector = await hypervisor.connector()
        except (PumiceError, TimeoutError) as error:
            logger.warning("hypervisor.silent", host=host, error=str(error) or "no answer in time")
            return
        facts = {"connector": connector.to_wire(), "driver": hypervisor.driver}
        await self.hands.db.write(services.heartbeat, COMPUTE, host, self.zone, facts)

    async def fall_silent(self) -> None:
        """The process is about to stop: its services are down at once, not after a while."""

        def work(tx: Transaction) -> None:
            if self.schedules:
                services.silence(tx, SCHEDULER, self.host)
            for place in self.hands.backends:
                services.silence(tx, VOLUME, place)
            for host in self.hands.hypervisors:
                services.silence(tx, COMPUTE, host)

        await self.hands.db.write(work)


def _row(
    place: str, zone: str, fact: PoolFacts, protocol: dict[str, str], functions: dict[str, str]
) -> dict[str, Any]:
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
            "storage_protocol": protocol["storage_protocol"],
            "QoS_support": False,
            "multiattach": True,
            **fact.capabilities,
            **functions,
        },
    }


def _finite(gigabytes: float) -> float:
    """Databases do not agree on infinity; an exabyte is endless enough."""
    return gigabytes if math.isfinite(gigabytes) else 1e9
