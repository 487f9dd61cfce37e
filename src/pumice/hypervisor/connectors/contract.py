"""What a connector must do: make a volume that is exported to this host usable by its hypervisor.

``tests/conformance/test_connectors.py`` checks the rules for every call:

* **Idempotent**: connecting what is connected gives the same source; disconnecting what is not does nothing.
* **Found again**: whatever a killed process had begun to connect, ``disconnect`` takes apart, and
  ``connections`` lists until then.
* **Errors**: ``Retryable`` when a volume cannot be reached in time, with nothing left of the attempt;
  ``Misconfigured`` when this host lacks something. Never with a secret in the message, or in a file.
"""

from typing import Protocol

from pumice.hypervisor.contract import BlockSource, IscsiSource, NvmeSource
from pumice.model.connector import Connector
from pumice.model.ids import AttachmentId

Remote = IscsiSource | NvmeSource
"""A volume elsewhere."""


class StorageConnector(Protocol):
    """The way of one host to its volumes."""

    driver: str
    """The driver's name in settings: ``qemu``, ``kernel``…"""

    async def start(self) -> None:
        """Check that this host has what is needed. Raises ``Misconfigured``."""

    async def properties(self, host: Connector) -> Connector:
        """This host as storage is told of it: ``host``, with what the connector knows besides."""

    async def connect(self, attachment: AttachmentId, owner: str, source: Remote) -> Remote | BlockSource:
        """What the hypervisor is to be given for the volume. ``owner`` is the server that it is for.

        Connected before from another source, it is disconnected from that one first.
        """

    async def disconnect(self, attachment: AttachmentId) -> None:
        """Let the volume go: what was written is flushed, then device, multipath map and session are gone.

        Raises ``Retryable`` when something still uses the device.
        """

    async def grown(self, attachment: AttachmentId, size: int) -> None:
        """See that the volume has ``size`` bytes now, or more. Nothing to do where it is not connected."""

    async def connections(self) -> dict[AttachmentId, str]:
        """What is connected, or was begun to be, with its owner."""
