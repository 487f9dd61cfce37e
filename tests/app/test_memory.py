"""What passwords cost for a moment is given back."""

import subprocess
import sys
from pathlib import Path

import pytest

HASH_IN_FOUR_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from pumice.app import memory
from pumice.identity import passwords

def mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

memory.give_back()
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


def test_a_pumice_on_sqlite_loads_nothing_for_postgresql(tmp_path: Path) -> None:
    code = (
        "import sys, pumice.app.serve; from pumice.store.open import open_database; "
        "open_database(sys.argv[1]).close_now(); "
        "print({'asyncpg', 'sqlalchemy.ext.asyncio', 'pumice.store.postgres'} & sys.modules.keys())"
    )
    url = f"sqlite:///{tmp_path / 'pumice.db'}"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
