"""The hosts' network: a namespace for each, all on one bridge, so that any two can be cut off from another.

What belongs to no host (the database, the API, the schedulers, the clients) is ``HUB``, this machine itself.
Two that are cut off send into the void: each has the other's address under a hardware address that nobody has.
So packets vanish without a word, in both directions, as after a pulled cable or in a broken switch.

Where no namespace can be made every host is 127.0.0.1, nothing can be cut, and ``can_cut`` says so.
"""

import contextlib
import os
import subprocess
from pathlib import Path

HUB = "hub"
_NOBODY = "02:00:00:00:de:ad"


class Network:
    """The hosts, reached at ``address[host]``; ``inside(host)`` is what a command there begins with."""

    def __init__(self, hosts: list[str]) -> None:
        self.bridge = f"pum{os.getpid()}"
        self.why_not = ""
        """Why nothing can be cut."""
        self._spaces: dict[str, str] = {}
        net = f"10.213.{os.getpid() % 250 + 1}"
        self.address = {host: f"{net}.{n}" for n, host in enumerate([HUB, *hosts], 1)}
        try:
            self._build(hosts)
        except (OSError, subprocess.CalledProcessError) as error:
            self.why_not = (getattr(error, "stderr", "") or str(error)).strip()
            self.close()
            self.address = dict.fromkeys(self.address, "127.0.0.1")

    @property
    def can_cut(self) -> bool:
        """Whether each host has a namespace of its own."""
        return not self.why_not

    def inside(self, host: str) -> list[str]:
        """The words before a command that is to run at ``host``."""
        return ["nsenter", f"--net=/run/netns/{self._spaces[host]}"] if host in self._spaces else []

    def space(self, host: str) -> int:
        """The number of a host's namespace. Raises ``KeyError`` where it has none of its own."""
        return Path(f"/run/netns/{self._spaces[host]}").stat().st_ino

    def cut(self, one: str, other: str) -> None:
        """Nothing gets from one to the other any more."""
        self._both(one, other, "replace", "lladdr", _NOBODY, "nud", "permanent")

    def repair(self, one: str, other: str) -> None:
        """Everything gets through again. Of two cuts of one pair the first to be repaired repairs both."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._both(one, other, "del")

    def close(self) -> None:
        """No trace is left."""
        for space in self._spaces.values():
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                _ip("netns", "del", space)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            _ip("link", "del", self.bridge)
        self._spaces.clear()

    def _build(self, hosts: list[str]) -> None:
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.address[HUB]}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")
        for number, host in enumerate(hosts):
            space, plug = f"{self.bridge}-{host}", f"{self.bridge}.{number}"
            _ip("netns", "add", space)
            self._spaces[host] = space
            _ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", plug, "master", self.bridge, "up")
            _ip("-n", space, "addr", "add", f"{self.address[host]}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")

    def _both(self, one: str, other: str, doing: str, *words: str) -> None:
        for here, there in ((one, other), (other, one)):
            where = ["-n", self._spaces[here]] if here in self._spaces else []
            device = "eth0" if here in self._spaces else self.bridge
            _ip(*where, "neigh", doing, self.address[there], *words[:2], "dev", device, *words[2:])


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10)
