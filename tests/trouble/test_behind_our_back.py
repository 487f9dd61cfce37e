"""Other hands at libvirt and QEMU: servers follow their machines, and machines their servers' disks."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from stories import SERVERS, VOLUMES, Stories

from pumice.hypervisor.libvirt import LibvirtHypervisor
from pumice.hypervisor.libvirt_connection import load
from pumice.hypervisor.libvirt_domains import disks_of
from pumice.model.ids import ServerId

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


def at_libvirt(real: Stories, server: str, act: Callable[[Any], object]) -> None:
    """What virsh would do to the server's domain."""
    with closing(load().open(real.pumice.libvirtd.uri)) as connection:
        act(connection.lookupByUUIDString(server))


def disks_at_libvirt(real: Stories, server: str) -> list[str]:
    found: list[str] = []
    at_libvirt(real, server, lambda domain: found.extend(disks_of(domain)))
    return sorted(found)


def qemu_of(real: Stories, server: str) -> int:
    return int((real.pumice.libvirtd.state_dir / f"run/qemu/pumice-{server}.pid").read_text())


def power_off_from_inside(real: Stories, server: str) -> None:
    pumice = real.pumice
    hypervisor = LibvirtHypervisor(pumice.state_dir / "compute", daemon=pumice.libvirtd)
    asyncio.run(hypervisor.send_console(ServerId(server), "poweroff -f"))


def pull_the_plug(real: Stories, server: str) -> None:
    at_libvirt(real, server, lambda domain: domain.destroy())


def kill_qemu(real: Stories, server: str) -> None:
    os.kill(qemu_of(real, server), signal.SIGKILL)


def kill_qemu_and_libvirtd(real: Stories, server: str) -> None:
    """As when the whole host falls over, and comes back."""
    pid = real.pumice.libvirtd.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    kill_qemu(real, server)


def undefine(real: Stories, server: str) -> None:
    def act(domain: Any) -> None:
        domain.destroy()
        domain.undefine()

    at_libvirt(real, server, act)


def becomes(real: Stories, server: str, status: str) -> None:
    real.pumice.wait(lambda: shown(real, server)["status"] == status, f"the server does not become {status}")


def shown(real: Stories, server: str) -> dict[str, Any]:
    found: dict[str, Any] = real.pumice.call("GET", f"{SERVERS}/{server}")["server"]
    return found


def beginning_of(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(4096)


@pytest.mark.parametrize(
    ("go_off", "which"),
    [
        pytest.param(power_off_from_inside, "guest", id="power_off_from_inside"),
        pytest.param(pull_the_plug, "bare_guest", id="pull_the_plug"),
        pytest.param(kill_qemu, "bare_guest", id="kill_qemu"),
        pytest.param(kill_qemu_and_libvirtd, "bare_guest", id="kill_qemu_and_libvirtd"),
        pytest.param(undefine, "bare_guest", id="undefine"),
    ],
)
def test_a_server_whose_machine_went_off_is_shut_off_and_can_be_started(
    real: Stories, which: str, go_off: Callable[[Stories, str], None], request: pytest.FixtureRequest
) -> None:
    guest: str = request.getfixturevalue(which)
    booted = real.boots(guest)
    go_off(real, guest)
    becomes(real, guest, "SHUTOFF")
    assert shown(real, guest)["OS-EXT-STS:vm_state"] == "stopped"
    assert shown(real, guest)["OS-EXT-STS:power_state"] == 4
    assert not real.pumice.violations()
    real.start(guest, booted)
    assert not real.pumice.violations()


def test_a_machine_that_was_started_although_its_server_is_off_is_stopped_again(
    real: Stories, bare_guest: str
) -> None:
    real.pumice.call("POST", f"{SERVERS}/{bare_guest}/action", {"os-stop": None})
    real.pumice.settle()
    real.server_is(bare_guest, "SHUTOFF")
    booted = real.boots(bare_guest)
    actions = f"{SERVERS}/{bare_guest}/os-instance-actions"
    before = len(real.pumice.call("GET", actions)["instanceActions"])
    at_libvirt(real, bare_guest, lambda domain: domain.create())
    qemu = Path(f"/proc/{qemu_of(real, bare_guest)}")
    real.pumice.wait(lambda: not qemu.exists(), "the machine goes on", 120)
    real.pumice.settle()
    real.server_is(bare_guest, "SHUTOFF")
    assert len(real.pumice.call("GET", actions)["instanceActions"]) > before
    real.start(bare_guest, booted)
    assert not real.pumice.violations()


def test_a_disk_that_was_pulled_from_a_running_guest_is_plugged_in_again(
    real: Stories, guest: str, volume: str
) -> None:
    real.attach(guest, volume)
    real.pumice.settle()
    file = real.pumice.state_dir / "volumes" / "files" / "volumes" / volume
    said = b"hello from the guest"
    real.pumice.wait(lambda: said in beginning_of(file), "the guest does not write to the disk")
    both = disks_at_libvirt(real, guest)
    assert volume in both

    def pull(domain: Any) -> None:
        domain.detachDeviceFlags(disks_of(domain)[volume].xml, load().VIR_DOMAIN_AFFECT_LIVE)

    at_libvirt(real, guest, pull)
    real.pumice.wait(lambda: volume not in disks_at_libvirt(real, guest), "the guest does not let go")
    assert [words for words in real.pumice.violations() if f"lacks disks: {volume}" in words]
    real.pumice.wait(lambda: disks_at_libvirt(real, guest) == both, "the disk does not come back", 150)
    real.pumice.settle()
    real.server_is(guest, "ACTIVE")
    real.volume_is(volume, "in-use")
    assert not real.pumice.violations()
    real.detach(guest, volume)
    real.pumice.settle()
    real.volume_is(volume, "available")
    real.delete(f"{VOLUMES}/{volume}")
