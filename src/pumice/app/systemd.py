"""Talk to systemd, where it is what started this process: sd_notify(3) and its watchdog, in a few lines.

Nothing is said where it is not. The variables are taken out of the environment, so that no child (a libvirtd,
say, which also knows them) speaks in our place.
"""

import os
import socket
import time
from collections.abc import MutableMapping

import structlog

logger = structlog.get_logger(__name__)


class Systemd:
    """The service manager, or nobody."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = int(environment.pop("WATCHDOG_USEC", "0"))
        mine = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds = microseconds / 1e6 if microseconds and mine else None
        """How long we may be silent before we are restarted; None when nobody watches."""

    def ready(self, status: str) -> None:
        """Started; or reloaded."""
        self._say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Reading the settings again."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Told to stop: the steps in hand are finished."""
        self._say("STOPPING=1", "STATUS=Finishing the steps in hand.")

    def alive(self) -> None:
        """Tell that we are alive; to be called more often than every ``watchdog_seconds``."""
        if self.watchdog_seconds:
            self._say("WATCHDOG=1")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto("\n".join(words).encode(), self._address)
        except OSError as error:
            logger.warning("systemd.deaf", error=str(error))
