"""Who we are at a cluster of Ceph, and what a host and its user need there: for volumes, or for images."""

import shutil
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from pumice.backends.rbd_images import PYTHON, Cluster
from pumice.host.ceph_keyring import key_of
from pumice.host.command import CommandFailed, run
from pumice.host.parts import ok, program
from pumice.host.paths import GivenPath
from pumice.model.errors import Misconfigured, PumiceError
from pumice.model.finding import Finding, Probe, Verdict
from pumice.model.place_name import PlaceName

_PACKAGES = {"rbd": "ceph-common", "qemu-storage-daemon": "qemu-utils"}


class CephUser(BaseModel):
    """A user of a cluster, and its keyring."""

    conf: GivenPath = Field(
        Path("/etc/ceph/ceph.conf"),
        description="rbd: the cluster's configuration; the file's name is the cluster's.",
    )
    user: PlaceName = Field("pumice", description="rbd: who we are there, without 'client.'.")
    keyring: GivenPath | None = Field(
        None,
        description="rbd: the user's, at the same path on each host; default: CLUSTER.client.USER.keyring.",
    )

    @field_validator("user")
    @classmethod
    def user_is_a_client(cls, user: str) -> str:
        """The name as 'ceph --id' takes it."""
        if user.startswith("client."):
            raise ValueError(f"'{user}' is told without 'client.'")
        return user

    def ceph_cluster(self, secret_uuid: str = "") -> Cluster:
        """The cluster, as this user. ``secret_uuid``: by which hypervisors of others know the key."""
        return Cluster(self.conf, self.user, self._keyring(), self.conf.stem, secret_uuid)

    def ceph_probes(self, name: str, pools: Mapping[str, str]) -> Iterator[Probe]:
        """The commands, FUSE, and of each pool (by its name here) whether the user may use it."""
        known = tuple(pools.values())
        yield Probe(f"ceph {name}", partial(self._this_host, f"ceph {name}", known))
        yield Probe(f"librbd {name}", partial(_librbd, f"librbd {name}"))
        yield Probe(f"qemu rbd {name}", partial(_qemu, f"qemu rbd {name}"))
        for pool, its_name in pools.items():
            part = f"pool {name}#{pool}"
            yield Probe(part, partial(self._pool, part, its_name, known))

    def _keyring(self) -> Path:
        return self.keyring or self.conf.with_name(f"{self.conf.stem}.client.{self.user}.keyring")

    def _this_host(self, part: str, pools: Collection[str]) -> Finding:
        for command, packages in _PACKAGES.items():
            if program(command) is None:
                return _lacks(part, f"{command} is not installed", f"apt-get install {packages}")
        if not Path("/dev/fuse").exists():
            return _lacks(part, "no /dev/fuse: images cannot be read or written here", "modprobe fuse")
        if not self.conf.exists():
            return _lacks(part, f"no {self.conf}", "copy it from a host of the cluster, or set 'conf'")
        try:
            key_of(self.user, self._keyring())
        except Misconfigured as error:
            return _lacks(part, error.in_full, f"{self._caps('get-or-create', pools)} -o {self._keyring()}")
        return ok(part, f"client.{self.user} of {self.conf}")

    async def _pool(self, part: str, pool: str, pools: Collection[str]) -> Finding:
        if shutil.which("rbd") is None:
            return _lacks(part, "rbd is not installed", "apt-get install ceph-common")
        words = ("--conf", self.conf, "--id", self.user, "--keyring", self._keyring())
        try:
            await run("rbd", *words, "--client-mount-timeout", "10", "ls", pool, timeout=20, public=True)
        except PumiceError as error:
            said = error.in_full.rpartition("\n")[2]
            if "(2) No such file" in said:
                return _lacks(part, "not there", f"ceph osd pool create {pool} && rbd pool init {pool}")
            if "(1) Operation not permitted" in said:
                return _lacks(part, f"client.{self.user} may not use it", self._caps("caps", pools))
            if "(13) Permission denied" in said:
                cure = f"{self._caps('get-or-create', pools)} -o {self._keyring()}"
                return _lacks(part, f"the cluster does not know client.{self.user} by this key", cure)
            return _lacks(part, f"no answer: {said}", "ceph health detail")
        return ok(part, f"client.{self.user} may use '{pool}'")

    def _caps(self, verb: str, pools: Collection[str]) -> str:
        """The command by which an administrator of the cluster gives the user what it needs, and no more."""
        caps = ", ".join(f"profile rbd pool={pool}" for pool in pools)
        return f"ceph auth {verb} client.{self.user} mon 'profile rbd' mgr 'profile rbd' osd '{caps}'"


async def _librbd(part: str) -> Finding:
    """The bindings of the system's Python, which Debian's ceph-common brings along."""
    try:
        await run(PYTHON, "-I", "-c", "import rados, rbd", timeout=10, public=True)
    except PumiceError as error:
        said = error.in_full.rpartition("\n")[2]
        return _lacks(
            part, f"{PYTHON} has no rados and rbd: {said}", "apt-get install python3-rados python3-rbd"
        )
    return ok(part, f"{PYTHON} has librados and librbd")


async def _qemu(part: str) -> Finding:
    """QEMU's own client of Ceph, which Debian packs apart."""
    try:
        await run("qemu-img", "info", 'json:{"driver":"rbd"}', timeout=10, public=True)
    except CommandFailed as failed:  # it always fails: either for want of an image, or of the driver
        if "Unknown driver" not in failed.stderr:
            return ok(part, "QEMU opens images by itself")
    except PumiceError as error:
        return _lacks(part, error.in_full, "apt-get install qemu-utils qemu-block-extra")
    return _lacks(part, "not installed", "apt-get install qemu-block-extra")


def _lacks(part: str, found: str, cure: str) -> Finding:
    return Finding(part, Verdict.MISSING, found, "other backends", cure)
