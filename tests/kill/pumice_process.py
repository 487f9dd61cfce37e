"""A ``pumice serve`` on SQLite, and real parts unless told otherwise."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.patience import PATIENCE
from tests.pumice_installation import Installation, state_directory

__all__ = ["PATIENCE", "PumiceProcess", "installation"]


class PumiceProcess(Installation):
    """One installation, and the process that serves it at the moment."""

    def __init__(self, state_dir: Path, **environment: str) -> None:
        super().__init__(state_dir, **{"PUMICE_LOG_LEVEL": "warning", **environment})
        self.awaited = {"cinder-volume", "nova-compute"}
        """The services that are to be up before anything is asked."""

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The process, if one was started."""
        return self.processes.get("serve")

    def start(self, fault: str | None = None) -> None:
        """Start, and wait until it answers and, unless it may die soon, its backend and hypervisor are up."""
        process = self.launch("serve", **({"PUMICE_FAULT": fault} if fault else {}))
        if fault:
            self.wait(lambda: self.answers() or process.poll() is not None, "it does not answer")
        else:
            self.log_in()
            self.wait(lambda: self.awaited <= self.services_up(), "its services do not come up")


@contextmanager
def installation(**environment: str) -> Iterator[PumiceProcess]:
    """A fresh one, not started yet; nothing of it is left in the end."""
    with state_directory() as state_dir:
        pumice = PumiceProcess(state_dir, **environment)
        (state_dir / "serve.log").touch()
        try:
            yield pumice
        finally:
            pumice.close()
            print(pumice.log("serve"))  # shown when the test fails
            pumice.end_daemons()
