"""From the settings to the drivers. Backends and targets are opened by their own settings."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import structlog

from pumice.app import marks
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Settings
from pumice.backends.contract import Backend
from pumice.backends.delayed import slow
from pumice.backends.targets.contract import Target
from pumice.backends.targets.two_names import TwoNames
from pumice.host.bulkhead import Bulkheads
from pumice.host.daemon import Daemon
from pumice.hypervisor.contract import Hypervisor
from pumice.hypervisor.registry import HYPERVISORS, Opening
from pumice.images import from_volume
from pumice.images.files import ImageFiles
from pumice.model.errors import Conflict
from pumice.operations.drivers import Drivers
from pumice.operations.places import IMAGES, compute_host, volume_host
from pumice.store.database import Database
from pumice.store.services import BACKUP_BINARY

logger = structlog.get_logger(__name__)


def backend(settings: Settings, name: str) -> Backend:
    """The backend ``[backends.NAME]``."""
    return settings.backends[name].open(name, settings.state_dir.absolute())


def _backend(settings: Settings, db: Database, place: str, name: str, *, serves: bool) -> Backend:
    """The backend of a place: slow if its settings say so, used only while its pools are ours."""
    chosen = settings.backends[name]
    driver = slow(backend(settings, name), chosen.delay)
    if not driver.keeps:
        return driver
    admit = marks.for_backend(db, place, driver, serves=serves, is_cluster=chosen.cluster is not None)
    return marks.guarded(driver, "start", admit)


def _target(settings: Settings, kind: str, daemons: list[Daemon]) -> Target:
    """The target driver ``kind``; a daemon of our own is added to ``daemons``."""
    target, daemon = settings.target(kind).open(settings.state_dir.absolute())
    if daemon:
        daemons.append(daemon)
    return cast(Target, TwoNames(target))


def hypervisor(settings: Settings, daemons: list[Daemon]) -> Hypervisor | None:
    """The hypervisor of this host, if it runs servers; a daemon of our own is added to ``daemons``."""
    machines = _machines(settings, daemons)
    if machines is None or settings.compute.connector == "qemu":
        return machines
    from pumice.hypervisor.connected import ConnectedHypervisor
    from pumice.hypervisor.connectors.kernel import KernelConnector

    state = settings.state_dir.absolute() / "compute"
    connector = KernelConnector(state, multipath=settings.compute.multipath)
    return cast(Hypervisor, ConnectedHypervisor(machines, connector))


def _opening(settings: Settings) -> Opening:
    directory = settings.state_dir.absolute() / "compute"
    return Opening(directory, settings.host, settings.compute.ip, settings.compute.libvirt_uri)


def home_of_machines(settings: Settings) -> Path | None:
    """The directory in which the hypervisor keeps disks, logs and its daemon's state, if there is one."""
    driver = HYPERVISORS.get(settings.compute.driver)
    return driver.home(_opening(settings)) if driver else None


def _machines(settings: Settings, daemons: list[Daemon]) -> Hypervisor | None:
    driver = HYPERVISORS.get(settings.compute.driver)
    if driver is None:
        return None
    machines, daemon = driver.open(_opening(settings))
    if daemon:
        daemons.append(daemon)
    return machines


@dataclass(frozen=True, slots=True)
class OpenDrivers:
    """The drivers of this host, and the daemons that Pumice runs for them."""

    drivers: Drivers
    daemons: list[Daemon]


def build(
    settings: Settings,
    db: Database,
    images: ImageFiles,
    roles: Collection[Role] = EVERY,
    *,
    serves: bool = False,
) -> OpenDrivers:
    """Every driver that this host's settings name and these roles need, not started yet.

    Only one process ``serves`` a pool; others may look.
    """
    daemons: list[Daemon] = []
    backends = settings.backends if Role.VOLUME in roles else {}
    delays: dict[str, float] = {}
    for it in backends.values():
        delays[it.target] = max(it.delay, delays.get(it.target, 0.0))
    bulkheads = Bulkheads()
    targets = {
        kind: bulkheads.at(f"target {kind}").walled(slow(_target(settings, kind, daemons), delay))
        for kind, delay in delays.items()
    }
    machine = hypervisor(settings, daemons) if Role.COMPUTE in roles else None
    home = home_of_machines(settings)
    if machine and home:
        admit = marks.for_hypervisor(db, settings.host, home, machine)
        machine = marks.guarded(machine, "start_up", admit)
    machines = {settings.host: machine} if machine else {}
    places = {settings.place(name): name for name in backends}
    store = settings.backup.open() if Role.VOLUME in roles else None
    drivers = Drivers(
        db,
        open_image=images.opened,
        kept_images=images.kept if Role.API in roles else None,
        keep_image=bulkheads.at(IMAGES).around(partial(from_volume.keep, db, images)),
        drop_image=bulkheads.at(IMAGES).around(partial(from_volume.drop, db, images)),
        backends={
            place: bulkheads.at(volume_host(place), backends[name].pools_that_hang_alone).walled(
                _backend(settings, db, place, name, serves=serves)
            )
            for place, name in places.items()
        },
        targets={place: targets[backends[name].target] for place, name in places.items()},
        backups=bulkheads.at(BACKUP_BINARY).walled(store) if store else None,
        hypervisors={host: bulkheads.at(compute_host(host)).walled(it) for host, it in machines.items()},
        post=settings.webhooks.outbound().post,
        bulkheads=bulkheads,
        detach_seconds=settings.compute.detach_seconds,
        pause_seconds=settings.compute.pause_seconds,
        keep_unknown_days=settings.repair.keep_unknown_days,
        abandoned_seconds=settings.repair.abandoned_seconds,
    )
    return OpenDrivers(drivers, daemons)


async def stop_daemons(daemons: list[Daemon], *, force: bool) -> None:
    """Stop the daemons of our own that nobody uses any more; with ``force`` the others too.

    One that exports a volume or runs a guest goes on without us, and is found again at the next start.
    """
    for daemon in daemons:
        with suppress(Conflict):
            await daemon.stop(force=force)
