"""The guided tour, as `make tour` takes it: on real parts, in an installation of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tests.patience import PATIENCE

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

MAKEFILE = Path(__file__).parents[2] / "Makefile"
TOUR = [sys.executable, "-m", "pumice", "tour"]


def leftovers(home: str) -> list[str]:
    """Processes and folders that belong to a tour whose temporary folder was ``home``."""
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in commands.splitlines() if home in line] + [
        str(path) for path in Path(home).iterdir()
    ]


def test_the_tour_tells_the_four_stories_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="tour-") as home:
        tour = subprocess.run(
            TOUR, env={**os.environ, "TMPDIR": home}, capture_output=True, text=True, timeout=380
        )
        assert tour.returncode == 0, tour.stdout[-3000:] + tour.stderr[-3000:]
        for claim in (
            "PUMICE-GUEST ready",
            "PUMICE-GUEST wrote vdb",
            "hello from the guest",
            "no target, no machine",
        ):
            assert claim in tour.stdout
        assert leftovers(home) == []


def test_ctrl_c_ends_the_tour_and_leaves_nothing() -> None:
    with tempfile.TemporaryDirectory(prefix="tour-") as home:
        tour = subprocess.Popen(
            TOUR, env={**os.environ, "TMPDIR": home}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert tour.stdout is not None
        for line in tour.stdout:
            if b"create a volume" in line:
                break
        time.sleep(0.5)
        tour.send_signal(signal.SIGINT)
        assert tour.wait(PATIENCE) == 1
        tour.stdout.close()
        assert leftovers(home) == []


def test_make_run_looks_whether_it_may_before_it_installs_anything() -> None:
    with tempfile.TemporaryDirectory() as home:
        checkout = Path(home)
        checkout.chmod(0o755)
        (checkout / "Makefile").write_text(MAKEFILE.read_text())
        (checkout / "scripts").mkdir()
        (checkout / "scripts" / "setup").write_text("#!/bin/sh\necho installing >&2\n")
        (checkout / "scripts" / "setup").chmod(0o755)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "PATH=/usr/bin:/bin"]
        made = subprocess.run([*nobody, "make", "-C", home, "run"], capture_output=True, text=True, check=False)
        assert made.returncode != 0
        assert "exports and guests need root" in made.stderr
        assert "installing" not in made.stderr


def test_a_port_that_is_taken_is_said_before_anything_is_built() -> None:
    with socket.socket() as taken, tempfile.TemporaryDirectory(prefix="tour-") as home:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = ["--stay", "--port", str(taken.getsockname()[1])]
        tour = subprocess.run(
            [*TOUR, *words],
            env={**os.environ, "TMPDIR": home},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        said = tour.stdout + tour.stderr
        assert tour.returncode == 1, said
        assert f"{taken.getsockname()[1]}" in said and "PORT=" in said
        assert "image" not in said
        assert leftovers(home) == []
