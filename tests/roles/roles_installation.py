"""An installation of one process for each role, on PostgreSQL, with fake drivers."""

import json
import subprocess
from pathlib import Path

from tests import pumice_installation
from tests.pumice_installation import SERVERS, VOLUMES

FAKE = {"driver": "fake", "target": "fake", "delay": 0.2}


class Installation(pumice_installation.Installation):
    """Its processes, by role."""

    def __init__(self, state_dir: Path, database_url: str, backends: int = 1) -> None:
        super().__init__(
            state_dir,
            database_url,
            PUMICE_BACKENDS=json.dumps({f"fake{n}": FAKE for n in range(backends)}),
            PUMICE_COMPUTE__DRIVER="fake",
        )

    def start(self, role: str, *words: str, host: str = "here") -> subprocess.Popen[bytes]:
        """Start a role's process."""
        return self.launch(role, *words, host=host)

    def start_all(self) -> None:
        """Start every role, and wait until all answer."""
        self.start("api", "--workers", "2")
        for role in ("scheduler", "volume", "compute"):
            self.start(role)
        self.log_in()
        self.wait(lambda: self.is_up(*self.processes), "its services do not come up")

    def create(self, name: str = "v") -> str:
        """A volume, accepted."""
        return str(self.call("POST", VOLUMES, {"volume": {"size": 1, "name": name}})["volume"]["id"])

    def boot(self, volume: str) -> str:
        """A server that boots from the volume, accepted."""
        disk = {"boot_index": 0, "uuid": volume, "source_type": "volume", "destination_type": "volume"}
        flavor = self.call("GET", "/compute/v2.1/flavors")["flavors"][0]["id"]
        body = {"name": "s", "flavorRef": flavor, "networks": "none", "block_device_mapping_v2": [disk]}
        return str(self.call("POST", SERVERS, {"server": body})["server"]["id"])
