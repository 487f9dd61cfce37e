"""An installation of one process for each role, on PostgreSQL, with fake drivers."""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

from tests import pumice_installation
from tests.pumice_installation import SERVERS

from pumice.store import audit
from pumice.store.postgres import PostgresDatabase

FAKE = {"driver": "fake", "target": "fake", "delay": 0.2}


class Installation(pumice_installation.Installation):
    """Its processes, by role."""

    def __init__(self, state_dir: Path, database_url: str, backends: int = 1, **environment: str) -> None:
        given = {
            "PUMICE_BACKENDS": json.dumps({f"fake{n}": FAKE for n in range(backends)}),
            "PUMICE_COMPUTE__DRIVER": "fake",
        }
        super().__init__(state_dir, database_url, **{**given, **environment})

    def start(self, role: str, *words: str, host: str = "here", **environment: str) -> subprocess.Popen[bytes]:
        """Start a role's process."""
        return self.launch(role, *words, host=host, **environment)

    def works(self, name: str) -> None:
        """Wait until a process has begun to work."""
        self.wait(lambda: "working" in self.log(name), f"'{name}' does not begin to work")

    def is_stopped(self, name: str) -> bool:
        """Whether a process is, by SIGSTOP."""
        stat = Path(f"/proc/{self.processes[name].pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def go_on(self, name: str) -> None:
        """Let a stopped process go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def start_all(self) -> None:
        """Start every role, and wait until all answer."""
        self.start("api", "--workers", "2")
        for role in ("scheduler", "volume", "compute"):
            self.start(role)
        self.log_in()
        self.wait(lambda: self.is_up(*self.processes), "its services do not come up")

    def wrong_rows(self) -> list[str]:
        """Every violation of what must be true of the rows, quotas first."""

        async def look() -> list[str]:
            db = PostgresDatabase(self.database_url or "")
            try:
                return [str(violation) for violation in await db.read(audit.wrong_rows)]
            finally:
                await db.close()

        return asyncio.run(look())

    def members_up(self) -> int:
        """How many hosts of clusters are."""
        clusters = self.call("GET", "/volume/v3/clusters/detail")["clusters"]
        return sum(one["num_hosts"] - one["num_down_hosts"] for one in clusters)

    def boot(self, volume: str) -> str:
        """A server that boots from the volume, accepted."""
        disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
        flavor = self.call("GET", "/compute/v2.1/flavors")["flavors"][0]["id"]
        body = {"name": "s", "flavorRef": flavor, "networks": "none", "block_device_mapping_v2": [disk]}
        return str(self.call("POST", SERVERS, {"server": body})["server"]["id"])
