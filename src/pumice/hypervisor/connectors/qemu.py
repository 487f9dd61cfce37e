"""The connector ``qemu``: there is nothing to connect, because QEMU itself logs in to iSCSI targets."""

from pumice.hypervisor.connectors.contract import Remote
from pumice.hypervisor.contract import BlockSource, IscsiSource
from pumice.model.connector import Connector
from pumice.model.errors import Misconfigured
from pumice.model.ids import AttachmentId


class QemuConnector:
    """Every call is done before it began. Nothing outlives the guest."""

    driver = "qemu"

    async def start(self) -> None:
        """Start: nothing is needed."""

    async def properties(self, host: Connector) -> Connector:
        """QEMU says the name that the hypervisor says."""
        return host

    async def connect(
        self,
        attachment: AttachmentId,  # noqa: ARG002
        owner: str,  # noqa: ARG002
        source: Remote,
    ) -> Remote | BlockSource:
        """The source itself. Raises ``Misconfigured`` for what QEMU cannot reach."""
        if not isinstance(source, IscsiSource):
            raise Misconfigured('QEMU reaches no NVMe target by itself: set [compute] connector = "kernel".')
        return source

    async def disconnect(self, attachment: AttachmentId) -> None:
        """The session ended with the disk."""

    async def grown(self, attachment: AttachmentId, size: int) -> None:
        """The hypervisor tells QEMU."""

    async def connections(self) -> dict[AttachmentId, str]:
        """None: QEMU opens every volume itself, and the host connects to nothing."""
        return {}
