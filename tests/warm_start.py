"""Processes of ``pumice``, and of its clients, that need not import: forked from one that has, and waits.

To import is most of what their start costs, and the tests start them a thousand times. What is forked is a
process as any other: it has its own environment and files, runs the command as ``python -m pumice`` or the
client's own script would, and may be killed.
"""

import contextlib
import functools
import gc
import importlib
import importlib.metadata
import json
import mimetypes
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

MODULES = (
    *("pumice.app.cli", "pumice.app.serve", "pumice.app.workers", "pumice.app.audit"),
    *("pumice.api.compute.service", "pumice.api.identity.service", "pumice.api.image.service"),
    *("pumice.api.volume.service", "pumice.backends.files", "pumice.backends.targets.tgtd"),
    *("pumice.backends.fake", "pumice.backends.targets.fake", "pumice.hypervisor.fake"),
    *("pumice.hypervisor.libvirt", "pumice.hypervisor.libvirtd", "pumice.store.postgres", "alembic.command"),
    *("pumice.api.own.service", "pumice.backends.targets.tgt", "oslo_policy._external", "libvirt"),
    *("prometheus_client.multiprocess", "uvloop", "uvicorn.protocols.http.httptools_impl"),
    *(
        "uvicorn.lifespan.off",
        "encodings.idna",
        "pumice.backends.backups.chunked",
        "pumice.backends.backups.s3",
    ),
    *(
        "botocore.config",
        "botocore.session",
        "pumice.hypervisor.qemu_leftovers",
        "pumice.backends.targets.direct",
        "typer._adapters",
    ),
)
"""What is imported, whatever the command will need of it."""
CLIENTS = {"openstack": "openstackclient.shell", "cinder": "cinderclient.shell"}
"""Commands of others, and where their ``main`` is."""
_LOOKED_AT = {name: os.environ.get(name) for name in ("PATH", "PYTHONPATH")}
"""What modules look at when they are imported, or are found by."""
_LARGEST = 200_000

computing = 0.0
"""Seconds of the processor that those of its processes have used which were waited for."""


class WarmProcess(subprocess.Popen[bytes]):
    """What ``subprocess.Popen`` is of ``python -m pumice WORDS``, without pipes."""

    _child_created = False  # it is no child of this process: there is nothing to reap

    def __init__(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        out: IO[bytes],
        err: IO[bytes],
        *,
        program: str = "pumice",
        given: IO[bytes] | None = None,
    ) -> None:
        """``given`` is its standard input; without it that is empty."""
        self.args = [program, *words]
        self.returncode: int | None = None
        self.stdin = self.stdout = self.stderr = None
        self._told, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            asked = json.dumps({"words": list(words), "env": dict(env), "cwd": os.getcwd()}).encode()
            files = [its, out, err, *([given] if given else ())]
            socket.send_fds(_source(program), [asked], [file.fileno() for file in files])
        pid, [self._pidfd], *_ = socket.recv_fds(self._told, 64, 1)
        self.pid = int(pid)

    def poll(self) -> int | None:
        """How it ended, if it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """How it ended. Raises ``TimeoutExpired`` while it has not."""
        global computing
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            code, used = self._told.recv(64).split()
            self.returncode = int(code)
            computing += float(used)
            self._told.close()
            os.close(self._pidfd)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Nothing happens to one that has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, sig)


def run(
    program: str, words: Sequence[str], env: Mapping[str, str], *, timeout: float, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as ``subprocess.run`` would. Raises ``TimeoutExpired``; then it is killed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as told:
        told.write(given.encode())
        told.seek(0)
        process = WarmProcess(words, env, out, err, program=program, given=told)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        said = [file.read().decode() for file in (out, err) if not file.seek(0)]
    return subprocess.CompletedProcess(process.args, process.returncode or 0, *said)


def can_start(python: str, env: Mapping[str, str]) -> bool:
    """Whether such a process is the same: of another ``PYTHONPATH`` other modules would be imported."""
    return python == sys.executable and {name: env.get(name) for name in _LOOKED_AT} == _LOOKED_AT


@functools.cache
def _source(program: str) -> socket.socket:
    """What the process that others are forked from listens to. It ends with this one."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        argv = [sys.executable, __file__, str(its.fileno()), program]
        source = subprocess.Popen(argv, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL)
        source.returncode = 0  # nobody waits for it
    return mine


# --- the process that others are forked from ------------------------------------------------------


def _fork(asked: socket.socket) -> bool:
    """Fork whatever is asked for, and tell of each how it ended. True in one that was forked."""
    told: dict[int, socket.socket] = {}
    heard, rung = socket.socketpair()
    rung.setblocking(False)
    signal.set_wakeup_fd(rung.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, *_ = select.select([asked, heard], [], [])
        if heard in ready:
            heard.recv(4096)
            _reap(told)
        if asked not in ready:
            continue
        request, files, *_ = socket.recv_fds(asked, _LARGEST, 4)
        if not request:
            return False
        status, *standard = files
        telling = socket.socket(fileno=status)
        if pid := os.fork():
            pidfd = os.pidfd_open(pid)
            socket.send_fds(telling, [str(pid).encode()], [pidfd])
            told[pid] = telling
            for file in (*standard, pidfd):
                os.close(file)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for ours in (asked, heard, rung, telling, *told.values()):
            ours.close()
        _become(standard, **json.loads(request))
        return True


def _warm() -> None:
    """What each would do once, and keep: build the commands, read policy's checks and botocore's tables."""
    from pumice.api import policy
    from pumice.api.routing import checks_of
    from pumice.app import cli, policy_sample
    from pumice.backends.backups.s3_client import S3Access, connect
    from pumice.store import torn

    cli.command()
    mimetypes.init()
    for routes in policy_sample.services().values():
        for check in checks_of(routes).values():
            policy._parsed(check)

    connect(
        S3Access(endpoint="http://127.0.0.1:1", bucket="b", region="r", access_key="k", secret_key="s"),
        patient=True,
    )
    for dialect in ("sqlite", "postgresql"):
        torn._statement(dialect)


def _reap(told: dict[int, socket.socket]) -> None:
    while told:
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if not pid:
            return
        with told.pop(pid) as telling, contextlib.suppress(OSError):  # who asked may be gone
            telling.send(f"{os.waitstatus_to_exitcode(status)} {used.ru_utime + used.ru_stime}".encode())


def _become(standard: Sequence[int], words: list[str], env: dict[str, str], cwd: str) -> None:
    for file, number in zip(standard, (1, 2, 0), strict=False):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv += words


def _warm_client(program: str) -> None:
    """Import a client, and whatever its commands and plug-ins are."""
    importlib.import_module(CLIENTS[program])
    found = importlib.metadata.entry_points()
    for group in found.groups:
        if group.startswith(("openstack.", "keystoneauth1.plugin", "cliff.formatter")):
            for entry in found.select(group=group):
                with contextlib.suppress(ImportError, AttributeError):  # what a plug-in needs may be absent
                    entry.load()


def _main(program: str) -> Callable[[], Any]:
    module = importlib.import_module(CLIENTS.get(program, "pumice.app.cli"))
    main: Callable[[], Any] = module.main
    return main


if __name__ == "__main__":
    gc.disable()  # what is imported stays
    asked_of, called = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    sys.argv = [called]  # from here on, for some read how they are called when they are imported
    if called in CLIENTS:
        _warm_client(called)
    else:
        for name in MODULES:
            importlib.import_module(name)
        _warm()
    gc.collect()
    gc.freeze()
    gc.enable()
    if _fork(asked_of):
        sys.exit(_main(called)())
