"""Where a volume would be made, and why there: what a create would ask, and what the scheduler would answer.

Nothing is written, and no quota asked. The request is the one that ``create.py`` makes of the same wish, and
the pools are those that it would choose among.
"""

from pumice.model.errors import NoValidBackend
from pumice.model.ids import VolumeId
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.scheduler.explain import Explanation
from pumice.scheduler.explain import explain as explained
from pumice.store import pools, services, volumes
from pumice.store.database import Transaction
from pumice.volumes.create import Wanted, plan, request_for


def explain(tx: Transaction, who: Scope, wanted: Wanted, tunables: Tunables) -> Explanation:
    """What would become of ``wanted``.

    Raises what the request would be refused with, and ``NoValidBackend`` where there is nothing to choose from.
    """
    params = plan(tx, who, wanted, tunables).params(VolumeId(""), wanted)
    request = request_for(tx, params, who.project_id)
    alive = pools.alive(tx, tunables.service_down_seconds, request.only_host)
    if not alive:
        why = services.why_not(tx, services.VOLUME_BINARY, tunables.service_down_seconds)
        raise NoValidBackend("No valid backend was found: every volume service is down or disabled.", why)
    return explained(alive, request, tunables)


def like(tx: Transaction, who: Scope, volume_id: str, wanted: Wanted) -> Wanted:
    """``wanted`` with what it leaves open as that volume has it. Raises ``NotFound``."""
    volume = volumes.get(tx, who, volume_id)
    return Wanted(
        size=wanted.size or volume.size,
        volume_type=wanted.volume_type or volume.type_id,
        availability_zone=wanted.availability_zone or volume.availability_zone,
        near=wanted.near,
        apart=wanted.apart,
    )
