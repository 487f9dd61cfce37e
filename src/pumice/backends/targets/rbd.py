"""Images of Ceph: whoever uses a volume opens it by himself, with a key of the cluster that he has already.

Nobody is let in or shut out: who has the key opens any image of the pool. What stands between two writers is
the attachment: an image's exclusive lock goes to whoever writes.
"""

from pumice.backends.targets.contract import Grant
from pumice.backends.targets.direct import DirectReach
from pumice.model.errors import Misconfigured
from pumice.model.export import Device, RbdImage
from pumice.model.ids import VolumeId


class RbdTarget(DirectReach):
    """A volume is in the cluster, for every host."""

    driver = "rbd"
    protocol = "ceph"
    local_to_host = False

    async def grant(self, volume: VolumeId, device: Device, grant: Grant) -> RbdImage:  # noqa: ARG002
        """Say where the volume is. Raises ``Misconfigured`` for one that is not in Ceph."""
        if isinstance(device, RbdImage):
            return device
        raise Misconfigured("target = 'rbd' is for backends of the driver 'rbd'.")
