"""A RabbitMQ of the tests: on ports of its own, in a folder of its own, with nothing of the system's."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from tests.patience import PATIENCE
from tests.ports import free_port

ROOT = Path(os.environ.get("RABBITMQ_ROOT", "/"))
"""Where Debian's packages of RabbitMQ and Erlang are, if they are not installed but unpacked."""
SCRIPTS = ROOT / "usr/lib/rabbitmq/bin"


class RabbitServer:
    """A broker that can be killed, stopped, and started again with what it had."""

    def __init__(self) -> None:
        self.home = Path(mkdtemp(prefix="pumice-rabbit-"))
        self.port, self.epmd, self.distribution = free_port(), free_port(), free_port()
        self.url = f"rabbit://guest:guest@127.0.0.1:{self.port}/"
        (self.home / "plugins").write_text("[].")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        names = {
            "HOME": self.home,
            "RABBITMQ_MNESIA_BASE": self.home / "mnesia",
            "RABBITMQ_LOG_BASE": self.home / "log",
            "RABBITMQ_PID_FILE": self.home / "pid",
            "RABBITMQ_CONFIG_FILE": self.home / "none",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.home / "plugins",
            "RABBITMQ_NODENAME": f"pumice{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self.distribution,
            "ERL_EPMD_PORT": self.epmd,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "true",  # so that it may be ended as soon as its node is
            "PATH": f"{ROOT / 'usr/lib/erlang/bin'}:{SCRIPTS}:{os.environ['PATH']}",
        }
        environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
        with (self.home / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [SCRIPTS / "rabbitmq-server"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        give_up = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, (self.home / "out").read_text()[-2000:]
            assert time.monotonic() < give_up, "RabbitMQ does not come up"
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it speaks AMQP: it closes with its own header what is none."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as it:
            it.settimeout(2)
            it.sendall(b"NOTAMQP!")
            return it.recv(4) == b"AMQP"
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        epmd = [shutil.which("epmd", path=f"{ROOT / 'usr/lib/erlang/bin'}:{os.environ['PATH']}") or "epmd"]
        subprocess.run(
            [*epmd, "-port", str(self.epmd), "-kill"],
            env={**os.environ, "ERL_EPMD_RELAXED_COMMAND_CHECK": "true"},
            capture_output=True,
            check=False,
        )
        shutil.rmtree(self.home, ignore_errors=True)
