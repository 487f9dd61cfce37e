"""Starting and stopping the process: nothing is lost, and what cannot work is said and stops nothing else."""

import json
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from pumice_process import PumiceProcess, installation
from stories import VOLUMES, Stories
from tests.patience import PATIENCE
from tests.ports import free_port

from pumice.app import monitoring
from pumice.app.roles import EVERY, Role
from pumice.app.serve import listen
from pumice.app.settings import Api, Metrics, Settings
from pumice.model.errors import Misconfigured


def fake_backend(**settings: Any) -> str:
    return json.dumps({"fake": {"driver": "fake", "target": "fake", **settings}})


@pytest.fixture
def slow() -> Iterator[PumiceProcess]:
    """Every call of its backend takes half a second."""
    with installation(PUMICE_BACKENDS=fake_backend(delay=0.5), PUMICE_COMPUTE__DRIVER="fake") as pumice:
        pumice.start()
        yield pumice


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_process_told_to_stop_ends_after_the_steps_in_hand_and_the_next_goes_on(
    slow: PumiceProcess, told: signal.Signals
) -> None:
    stories = Stories(slow)
    volumes = [stories.create() for _ in range(60)]
    assert slow.process is not None
    slow.process.send_signal(told)
    assert slow.process.wait(PATIENCE) == 0
    assert slow.under_way(), "it carried all, though it was told to stop"
    slow.start()
    slow.settle()
    for volume in volumes:
        stories.volume_is(volume, "available")


def test_a_second_process_on_one_state_directory_says_who_is_there_and_ends(slow: PumiceProcess) -> None:
    second = slow.command("serve", "--port", str(free_port()))
    assert second.returncode != 0
    assert slow.process is not None
    said = " ".join((second.stdout + second.stderr).split())
    assert f"Another Pumice (process {slow.process.pid}) serves host 'here'" in said
    assert "Traceback" not in said
    assert slow.call("GET", VOLUMES) == {"volumes": []}


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with installation(PUMICE_BACKENDS=fake_backend(), PUMICE_COMPUTE__DRIVER="none") as pumice:
        with socket.create_server(("127.0.0.1", pumice.port)):
            refused = pumice.command("serve")
        assert refused.returncode != 0
        said = " ".join((refused.stdout + refused.stderr).split())
        assert f"Cannot listen on 127.0.0.1:{pumice.port}" in said
        assert "Traceback" not in said


def test_volumes_are_served_where_neither_tgt_nor_libvirt_can_be_used() -> None:
    nowhere = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
    with installation(PUMICE_COMPUTE__LIBVIRT_URI=nowhere) as pumice:
        host, _, port = pumice.environment["PUMICE_TGT__PORTAL"].rpartition(":")
        with socket.create_server((host, int(port))):
            pumice.awaited = {"cinder-volume"}
            pumice.start()
            stories = Stories(pumice)
            volume = stories.create()
            pumice.settle()
            stories.volume_is(volume, "available")
            stories.delete(f"{VOLUMES}/{volume}")
            pumice.settle()
            stories.is_gone(f"{VOLUMES}/{volume}")


def test_of_two_that_begin_at_once_one_has_the_ports() -> None:
    """Both bind, as ``SO_REUSEADDR`` lets them, before either listens."""
    settings = Settings(api=Api(port=free_port()), metrics=Metrics(ports={Role.API: free_port()}))
    watching = monitoring.listen(settings, EVERY)
    with listen(settings), pytest.raises(Misconfigured, match="Cannot listen on"):
        listen(settings)
    assert watching is not None
    with watching:
        assert monitoring.listen(settings, EVERY) is None
