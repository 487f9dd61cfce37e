"""What passwords and heavy requests cost for a moment is given back."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pumice_process import PumiceProcess, installation
from tests.patience import PATIENCE

HASH_IN_FOUR_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pumice.app import malloc
from pumice.identity import passwords

def mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

malloc.give_back()
before = mib()
with ThreadPoolExecutor(4) as threads:
    list(threads.map(passwords.hash_now, ["secret"] * 8))
    print(mib() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_that_hashed_passwords_keep_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HASH_IN_FOUR_THREADS], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 15, "one hash takes 19 MiB"


HEAVY: list[dict[str, Any]] = [
    {"url": "/volume/v3/volumes", "json": {"volume": {"metadata": {str(n): "v" * 250 for n in range(380)}}}},
    {
        "url": "/volume/v3/volumes",
        "json": {"volume": {"metadata": {str(n): [["x"] * 20] * 20 for n in range(80)}}},
    },
    {"url": "/compute/v2.1/servers", "json": {"server": {"metadata": [{"x" * 90: "y"}] * 1000}}},
    {"url": "/identity/v3/auth/tokens", "content": b"{" + b" " * 400_000},
]
"""Requests that cost much and are refused, each in another way."""


KEPT = 46
"""MiB: a process of every role has 22 more after this than at its start; 69 with malloc as it comes."""
MORE = 12
"""MiB: after further attacks it has 122, 121, 120, 119."""


def private_mib(pid: int) -> float:
    """What a process has to itself."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def at_rest(pid: int, enough: float) -> float:
    """What it has once it has given back all but ``enough``, or does not."""
    end = time.monotonic() + PATIENCE
    while (kept := private_mib(pid)) > enough and time.monotonic() < end:
        time.sleep(0.1)
    return kept


def attack(pumice: PumiceProcess, times: int) -> None:
    """Requests of every heavy kind, long headers, long filters and images, 32 at once."""
    pairs = json.dumps({str(number): "v" * 20 for number in range(50)}).replace('"', "'")
    headers = {f"X-Pad-{number}": "y" * 1000 for number in range(14)}

    def one(number: int) -> int:
        if number % 50 == 0:
            image = pumice.call("POST", "/image/v2/images", {"disk_format": "raw", "container_format": "bare"})
            kind = {"Content-Type": "application/octet-stream"}
            path = f"/image/v2/images/{image['id']}"
            pumice.http.put(f"{path}/file", content=bytes(24 << 20), headers=kind)
            return pumice.http.delete(path).status_code
        if number % 5 == 0:
            path = f"/volume/v3/volumes/detail?metadata={pairs}"
            return pumice.http.get(path, headers=headers).status_code
        return pumice.http.request("POST", **HEAVY[number % len(HEAVY)]).status_code

    with ThreadPoolExecutor(32) as threads:
        assert set(threads.map(one, range(times))) == {200, 204, 400, 413}


def test_what_heavy_requests_took_is_given_back() -> None:
    backends = json.dumps({"fake": {"driver": "fake", "target": "fake"}})
    with installation(PUMICE_BACKENDS=backends, PUMICE_COMPUTE__DRIVER="none") as pumice:
        pumice.awaited = {"cinder-volume"}
        pumice.start()
        assert pumice.process is not None
        enough = private_mib(pumice.process.pid) + KEPT
        attack(pumice, 300)
        once = at_rest(pumice.process.pid, enough)
        assert once <= enough
        attack(pumice, 300)
        assert at_rest(pumice.process.pid, once + MORE) <= once + MORE, "what stays grows with each attack"


def test_a_pumice_on_sqlite_loads_nothing_for_postgresql(tmp_path: Path) -> None:
    code = (
        "import sys, pumice.app.serve; from pumice.store.open import open_database; "
        "open_database(sys.argv[1]).close_now(); "
        "print({'asyncpg', 'sqlalchemy.ext.asyncio', 'pumice.store.postgres'} & sys.modules.keys())"
    )
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_our_own_rules_load_no_plug_ins_and_a_file_that_names_them_does(tmp_path: Path) -> None:
    """oslo.policy would import ``requests`` for every process: a tenth of its start and of its memory."""
    code = (
        "import sys; from pathlib import Path; from pumice.api.policy import MEMBER, Policy; "
        "Policy({'volume:get': MEMBER}); print('requests' in sys.modules); "
        "Policy({'volume:get': MEMBER}, Path(sys.argv[1])); print('requests' in sys.modules)"
    )
    file = tmp_path / "policy.yaml"
    file.write_text('"volume:get": "http://localhost:1/%(project_id)s"')
    done = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
