"""The keeper of the API's workers: one that hangs is ended, and another takes its place."""

import json
import os
import signal
from pathlib import Path

import pytest

from postgres_server import PostgresServer
from pumice.app.workers import SILENT_SECONDS
from pumice_installation import Installation, state_directory

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
}


def test_a_worker_that_hangs_is_replaced(postgres: PostgresServer) -> None:
    name = postgres.take()
    with state_directory() as state:
        pumice = Installation(state, postgres.url(name), **FAKE)
        try:
            api = pumice.launch("api", "--workers", "2")
            pumice.wait(lambda: pumice.log("api").count("serving") == 2, "they do not serve")
            workers = Path(f"/proc/{api.pid}/task/{api.pid}/children")
            hung, well = workers.read_text().split()
            os.kill(int(hung), signal.SIGSTOP)
            pumice.wait(
                lambda: hung not in (now := workers.read_text().split()) and len(now) == 2,
                "it is not replaced",
                2 * SILENT_SECONDS,
            )
            assert well in workers.read_text().split()
            assert "worker.hangs" in pumice.log("api")
            pumice.wait(lambda: pumice.log("api").count("serving") == 3, "the new one does not serve")
            assert pumice.stop("api") == 0
        finally:
            pumice.close()
    postgres.give_back(name)
