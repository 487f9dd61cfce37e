"""A ``pumice serve`` on the reference stack (LVM thin, LIO with CHAP, os-brick), in the kernel lane."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from initiators import initiators, said
from pumice_process import PumiceProcess, installation

DISK = Path("/dev/vde")
_SETTINGS = {
    "PUMICE_BACKENDS": json.dumps({"lvm-1": {"driver": "lvm", "target": "lio", "volume_group": "vg"}}),
    "PUMICE_COMPUTE__CONNECTOR": "kernel",
}


def make_group() -> None:
    """A volume group on the disk."""
    subprocess.run(["vgcreate", "--quiet", "vg", DISK], check=True, capture_output=True)


@contextmanager
def volume_group() -> Iterator[None]:
    """A volume group, as long as this lasts. What uses its volumes is to be gone in the end."""
    make_group()
    yield
    subprocess.run(["vgremove", "--quiet", "--yes", "--force", "vg"], check=True, capture_output=True)


@contextmanager
def reference_stack(**environment: str) -> Iterator[PumiceProcess]:
    """Not started yet; with a volume group, which goes with its guest, an initiator's name, and iscsid."""
    make_group()
    multipath = "PUMICE_COMPUTE__MULTIPATH" in environment
    with initiators(multipath=multipath), installation(**_SETTINGS, **environment) as pumice:
        yield pumice


def logical(volume: str) -> Path:
    """The logical volume of a volume."""
    return Path(f"/dev/vg/volume-{volume}")


def given(volume: str) -> Path:
    """The device that a guest is given."""
    [path] = Path("/dev/disk/by-path").glob(f"ip-127.0.0.1:3260-iscsi-*volume-{volume}-lun-1")
    return path


def what_is_there() -> dict[str, str]:
    """Of each kind of thing outside the database, what there is."""
    return {
        "logical volumes": said("lvs", "--noheadings", "-o", "lv_name", "vg"),
        "sessions": "\n".join(
            sorted(line.split()[3] for line in said("iscsiadm", "-m", "session").splitlines())
        ),
        "node records": said("iscsiadm", "-m", "node"),
        "targets": "\n".join(
            sorted(map(str, Path("/sys/kernel/config/target/iscsi").glob("iqn*/tpgt*/acls/*")))
        ),
        "devices": "\n".join(sorted(said("lsblk", "--noheadings", "--nodeps", "-o", "NAME").split())),
    }
