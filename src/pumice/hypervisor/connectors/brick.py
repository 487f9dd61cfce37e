"""os-brick, the field's library for connecting a host to its storage: loaded once, and called within limits.

It runs in this process, as root: its privsep contexts are told that there is no other process to ask. While it
sleeps and tries again it cannot be interrupted; so each call has a limit, handed to every command that it
starts, and past the limit no further command starts. Never: a password in a log.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pumice.host.oslo import with_threads
from pumice.model.errors import Misconfigured

Properties = dict[str, Any]
"""os-brick's connection properties: Cinder's ``data`` of a connection."""

_LOGIN_SECONDS = 20.0
"""The limit of one login. iscsid would try for two minutes, while a disk with another path could be in use long
since; with multipath it goes on trying, and that path comes later."""

_REFUSALS = {19, 24}
"""Exit codes of iscsiadm: the target refuses the login, or the password, and would again."""

_SCANS = 3
"""How often a device is looked for that does not appear: after 4, 9 and 16 seconds."""


def load(locks: Path) -> None:
    """Import os-brick (it takes a second) and set it up; ``locks`` is its directory of lock files.

    Raises ``Misconfigured``.
    """
    if os.geteuid() != 0:
        raise Misconfigured("The connector 'kernel' logs in to targets and makes devices: it must run as root.")
    try:
        with with_threads():
            import os_brick
            from os_brick import privileged
            from os_brick.initiator import connector  # noqa: F401
            from oslo_concurrency import lockutils
            from oslo_config import cfg
    except ImportError as error:
        raise Misconfigured(
            f"The connector 'kernel' needs os-brick: pip install 'pumice[kernel]' ({error})"
        ) from None
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("os_brick", "oslo_concurrency", "oslo.concurrency"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors come as exceptions
    lockutils.set_defaults(str(locks))
    if "os_brick" in cfg.CONF and cfg.CONF.os_brick.lock_path is None:
        cfg.CONF([], default_config_files=[], project="pumice")
        os_brick.setup(cfg.CONF)
    privileged.default.set_client_mode(False)
    privileged.brick_privsep_hide_output.set_client_mode(False)


class Brick:
    """os-brick's connector for ``protocol`` (``ISCSI``, ``NVMEOF``). Its calls block: they belong in a thread.

    Every call raises ``BrickFailed`` when os-brick does not do it within ``seconds``.
    """

    def __init__(self, protocol: str, *, multipath: bool, seconds: float) -> None:
        from os_brick.initiator import connector

        self._end = time.monotonic() + seconds
        self._refused: dict[str, Exception] = {}
        """Logins that a target refused for good, by their command: not tried again."""
        self._why = ""
        self._brick = connector.InitiatorConnector.factory(
            protocol, "", use_multipath=multipath, device_scan_attempts=_SCANS, execute=self._execute
        )

    def connect(self, properties: Properties) -> Path:
        """The device of the volume, as the kernel calls it: ``/dev/sda``, ``/dev/dm-3``."""
        info = self._tried(lambda: self._brick.connect_volume(dict(properties)))
        return Path(os.fsdecode(info["path"]))

    def disconnect(self, properties: Properties, device: Path | None, *, force: bool) -> None:
        """Flush and remove device and map, and log out. ``force``: also where flushing fails."""
        info = {"path": str(device)} if device else {"path": ""}
        if device:
            properties = properties | {"device_path": str(device)}
        self._tried(
            lambda: self._brick.disconnect_volume(dict(properties), info, force=force, ignore_errors=force)
        )

    def extend(self, properties: Properties) -> int | None:
        """See that the volume grew, on every path and in the map above them. The size seen, in bytes."""
        size: int | None = self._tried(lambda: self._brick.extend_volume(dict(properties)))
        return size

    def _tried(self, call: Callable[[], Any]) -> Any:
        from os_brick.exception import BrickException
        from oslo_concurrency.processutils import ProcessExecutionError

        try:
            return call()
        except (ProcessExecutionError, BrickException, OSError) as error:
            words = getattr(error, "stderr", None) or str(error)
            raise BrickFailed(self._why or words.strip()[-300:]) from None

    def _execute(self, *words: str, **options: Any) -> Any:
        """Run a command for os-brick, as root, and not past the end of this call."""
        from os_brick.exception import ExecutionTimeout
        from os_brick.privileged import rootwrap
        from oslo_concurrency.processutils import ProcessExecutionError

        options.pop("root_helper", None)
        options.pop("run_as_root", None)
        left = self._end - time.monotonic()
        if left <= 0:
            raise ProcessExecutionError(stderr=f"no time is left for {words[0]}", cmd=words[0], exit_code=-1)
        login = " ".join(words) if "--login" in words else ""
        if login in self._refused:
            raise self._refused[login]
        options["timeout"] = min(left, _LOGIN_SECONDS if login else options.get("timeout", left))
        try:
            return rootwrap.custom_execute(*words, shell=False, run_as_root=False, **options)
        except OSError as error:
            raise ProcessExecutionError(stderr=f"{words[0]}: {error.strerror}", cmd=words[0]) from None
        except ProcessExecutionError as error:
            if login:
                reason = (error.stderr or "").strip().partition("\n")[0]
                if isinstance(error, ExecutionTimeout):
                    reason = f"the target let nobody log in for {_LOGIN_SECONDS:g} seconds"
                self._why = self._why or reason
                if error.exit_code in _REFUSALS:
                    self._refused[login] = error
            raise


class BrickFailed(Exception):
    """os-brick could not; the message is that of what failed first."""
