"""systemd: the units name what exists, and what we say to systemd arrives."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from typer.testing import CliRunner

from postgres_server import PostgresServer
from pumice.app.cli import app
from pumice.app.settings import Role, load
from pumice.app.systemd import Systemd
from pumice_installation import Installation, state_directory

UNITS = sorted((Path(__file__).parents[2] / "packaging" / "systemd").glob("*.service"))
FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Where systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(120)
        yield listening


def words(unit: Path, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)


def test_there_is_a_unit_for_everything_and_for_each_role() -> None:
    assert {unit.stem for unit in UNITS} == {
        "pumice", "pumice-api", "pumice-scheduler", "pumice-volume", "pumice-compute"
    }  # fmt: skip


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_reload_needs_no_program_that_a_small_system_lacks(unit: Path, tmp_path: Path) -> None:
    (command,) = words(unit, "ExecReload")
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's children would ignore it too
    main = subprocess.Popen(["/bin/sleep", "60"])
    signal.signal(signal.SIGHUP, ours)
    argv = [word.replace("$MAINPID", str(main.pid)) for word in shlex.split(command)]
    subprocess.run(argv, env={"PATH": str(tmp_path)}, check=True)
    assert argv[0] == "/bin/sh"
    assert main.wait(PATIENCE) == -signal.SIGHUP


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_runs_a_command_that_there_is_with_settings_that_there_are(
    unit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for assignment in words(unit, "Environment"):
        monkeypatch.setenv(*assignment.split("=", 1))
    (command,) = words(unit, "ExecStart")
    program, *asked = os.path.expandvars(command).split()
    assert program == "/usr/bin/pumice"
    assert CliRunner().invoke(app, [*asked, "--help"]).exit_code == 0
    load()


def test_the_ports_of_the_units_do_not_meet() -> None:
    settings = load()
    assert len({*settings.metrics.ports.values(), settings.api.port}) == len(Role) + 1


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of the package systemd"
)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "pumice"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/pumice", str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_is_said_arrives_and_no_child_can_say_it(manager: socket.socket) -> None:
    environment = {
        "NOTIFY_SOCKET": manager.getsockname(),
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    systemd = Systemd(environment)
    assert environment == {} and systemd.watchdog_seconds == 60
    systemd.ready("Serving")
    assert manager.recv(100) == b"READY=1\nSTATUS=Serving"
    systemd.alive()
    assert manager.recv(100) == b"WATCHDOG=1"
    systemd.stopping()
    assert manager.recv(100).startswith(b"STOPPING=1")


def test_nothing_is_said_where_nobody_listens() -> None:
    Systemd({}).ready("Serving")
    Systemd({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready("Serving")
    other = Systemd({"NOTIFY_SOCKET": "@nobody", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    assert other.watchdog_seconds is None, "another process is watched"
    other.alive()


def hears(manager: socket.socket, wanted: str) -> None:
    """Until it is said; the watchdog's barks are many."""
    while wanted not in (said := manager.recv(1000).decode()):
        assert said.startswith(("WATCHDOG=1", "READY=1", "RELOADING=1"))


def test_a_process_says_when_it_is_ready_alive_reloading_and_about_to_stop(manager: socket.socket) -> None:
    with state_directory() as state:
        pumice = Installation(state, **FAKE, NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="60000000")
        try:
            serve = pumice.launch("serve")
            hears(manager, f"READY=1\nSTATUS=Serving http://127.0.0.1:{pumice.port}")
            hears(manager, "WATCHDOG=1")
            serve.send_signal(signal.SIGHUP)
            hears(manager, "RELOADING=1")
            hears(manager, "READY=1")
            serve.terminate()
            hears(manager, "STOPPING=1")
            assert serve.wait(PATIENCE) == 0
        finally:
            pumice.close()


@pytest.mark.real
def test_the_keeper_speaks_for_its_workers_once_all_serve(
    manager: socket.socket, postgres: PostgresServer
) -> None:
    name = postgres.take()
    with state_directory() as state:
        told = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"}
        pumice = Installation(state, postgres.url(name), **FAKE, **told)
        try:
            pumice.launch("api", "--workers", "2")
            hears(manager, "READY=1\nSTATUS=2 workers serve")
            assert pumice.answers()
            hears(manager, "WATCHDOG=1")
            assert pumice.stop("api") == 0
            hears(manager, "STOPPING=1")
        finally:
            pumice.close()
    postgres.give_back(name)
