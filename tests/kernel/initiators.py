"""The lane's guest as a host of initiators: its names, iscsid, multipathd."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice.hypervisor.connectors.kernel import HOST_NQN_FILE, INITIATOR_FILE

_ID = "22222222-2222-2222-2222-222222222222"
_MULTIPATH = """\
defaults {
 find_multipaths no
 user_friendly_names no
 polling_interval 2
}
blacklist {
 devnode "^(vd|loop|nvme)"
}
"""


@contextmanager
def initiators(*, multipath: bool) -> Iterator[None]:
    """While this lasts, the daemons run; multipathd where it is asked for."""
    INITIATOR_FILE.write_text("InitiatorName=iqn.1993-08.org.debian:guest\n")
    HOST_NQN_FILE.parent.mkdir(exist_ok=True)
    HOST_NQN_FILE.write_text(f"nqn.2014-08.org.nvmexpress:uuid:{_ID}\n")
    (HOST_NQN_FILE.parent / "hostid").write_text(f"{_ID}\n")
    Path("/etc/multipath.conf").write_text(_MULTIPATH)
    commands = [["iscsid", "-f"], *([["multipathd", "-d", "-s"]] if multipath else [])]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    daemons = [subprocess.Popen(words, **quiet) for words in commands]
    try:
        end = time.monotonic() + 60
        while multipath and not said("multipathd", "show", "daemon").startswith("pid"):
            assert time.monotonic() < end, "multipathd does not answer"
            time.sleep(0.1)
        yield
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.wait()


def paths() -> int:
    """How many paths multipathd uses. (``multipath`` itself reads from each, and hangs at one that is cut.)"""
    return said("multipathd", "show", "paths", "format", "%d %t %T").count("active ready")


def said(*words: str) -> str:
    """What a command writes to its standard output, whatever its end."""
    return subprocess.run(words, capture_output=True, text=True, timeout=300).stdout
