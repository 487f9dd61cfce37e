"""A connector in memory, or in ``directory``: for tests and benchmarks of everything else.

``fail_next["connect"] = Retryable("…")`` makes the next call of that name raise it, once. Given a directory, it
remembers there what is connected, so that it outlives the process as a kernel's connections do.
"""

import hashlib
import json
from pathlib import Path

from pumice.hypervisor.connectors.contract import Remote
from pumice.hypervisor.contract import BlockSource
from pumice.model.connector import Connector
from pumice.model.ids import AttachmentId


class FakeConnector:
    """Devices that nobody can open, named after their source."""

    driver = "fake"

    def __init__(self, directory: Path | None = None) -> None:
        self.fail_next: dict[str, Exception] = {}
        self._file = directory / "connections.json" if directory else None
        kept = self._file.read_text() if self._file and self._file.exists() else "{}"
        self._owners: dict[AttachmentId, str] = json.loads(kept)

    async def start(self) -> None:
        """Start: nothing is needed."""
        self._called("start")

    async def properties(self, host: Connector) -> Connector:
        """The host as it is."""
        self._called("properties")
        return host

    async def connect(self, attachment: AttachmentId, owner: str, source: Remote) -> Remote | BlockSource:
        """Connect a volume, which takes no time."""
        self._called("connect")
        self._owners[attachment] = owner
        self._keep()
        return BlockSource(Path("/nonexistent") / hashlib.sha256(repr(source).encode()).hexdigest()[:16])

    async def disconnect(self, attachment: AttachmentId) -> None:
        """Disconnect a volume, which takes no time."""
        self._called("disconnect")
        self._owners.pop(attachment, None)
        self._keep()

    async def grown(self, attachment: AttachmentId, size: int) -> None:  # noqa: ARG002
        """Note the call: nobody looks at the size."""
        self._called("grown")

    async def connections(self) -> dict[AttachmentId, str]:
        """The connections that ``connect`` and ``disconnect`` left."""
        self._called("connections")
        return dict(self._owners)

    def _called(self, name: str) -> None:
        if error := self.fail_next.pop(name, None):
            raise error

    def _keep(self) -> None:
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._owners))
