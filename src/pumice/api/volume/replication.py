"""Freeze, thaw and fail over a backend (api-ref, "Services").

A frozen backend is given nothing, and what lies there is neither deleted nor made a snapshot of. No backend
here replicates: to fail over is refused as Cinder refuses it where nothing is configured.
"""

from pydantic import Field

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid
from pumice.store import services
from pumice.store.database import Transaction

UPDATE = Rule("volume_extension:services:update", ADMIN)
FREEZE = Rule("volume:freeze_host", ADMIN)
THAW = Rule("volume:thaw_host", ADMIN)
FAILOVER = Rule("volume:failover_host", ADMIN)


class Where(Body):
    """The body that names a backend: of a host, or since 3.26 of a cluster."""

    host: Text | None = Field(None, min_length=1)
    cluster: Text | None = None


class Whither(Where):
    """The body of a failover: a backend, and the one that is to take over."""

    backend_id: Text | None = None


async def freeze(call: Call) -> Reply:
    """Freeze a backend: 200."""
    call.policy.require(FREEZE, call.who)
    return await _freeze(call, frozen=True)


async def thaw(call: Call) -> Reply:
    """Let a frozen backend be used again: 200."""
    call.policy.require(THAW, call.who)
    return await _freeze(call, frozen=False)


async def _freeze(call: Call, *, frozen: bool) -> Reply:
    asked = check(Where, await call.json())
    host, cluster = _place(call, asked)
    await call.ctx.db.write(_set_frozen, host, cluster, frozen, call.who.called)
    return Reply(status=200)


def _place(call: Call, asked: Where) -> tuple[str | None, str | None]:
    """The host or the cluster. Raises ``Invalid`` for neither and for both."""
    cluster = asked.cluster if call.version >= (3, 26) else None
    if bool(asked.host) == bool(cluster):
        why = (
            "One and only one of cluster and host must be set."
            if call.version >= (3, 26)
            else "Host field is missing."
        )
        raise Invalid(f"Invalid input received: {why}")
    return asked.host or None, cluster or None


def _services(tx: Transaction, host: str | None, cluster: str | None) -> list[services.Row]:
    every = services.every(tx, binary=services.VOLUME_BINARY)
    if not (
        found := [one for one in every if cluster in (None, one["cluster"]) and host in (None, one["host"])]
    ):
        raise Invalid(f"Invalid input received: Service {cluster or host} could not be found.")
    return found


def _set_frozen(tx: Transaction, host: str | None, cluster: str | None, frozen: bool, by: str) -> None:
    found = _services(tx, host, cluster)
    changed = [one["host"] for one in found if services.frozen(one) is not frozen]
    if not changed:
        names = ", ".join(one["host"] for one in found)
        raise Invalid(f"Invalid input received: frozen in {names} must be {not frozen}.")
    for name in changed:
        services.set_frozen(tx, name, frozen, by)


async def failover(call: Call) -> Reply:
    """Raises ``Invalid``: nothing is replicated."""
    call.policy.require(FAILOVER, call.who)
    host, cluster = _place(call, check(Whither, await call.json()))
    found = await call.ctx.db.read(_services, host, cluster)
    names = ", ".join(one["host"] for one in found)
    raise Invalid(
        f"Invalid input received: replication_status in {names} must be enabled or failed-over and must be up "
        "to failover."
    )


ROUTES = (
    Route("PUT", "/os-services/freeze", freeze, UPDATE, also=(FREEZE,)),
    Route("PUT", "/os-services/thaw", thaw, UPDATE, also=(THAW,)),
    Route("PUT", "/os-services/failover_host", failover, UPDATE, also=(FAILOVER,)),
)
