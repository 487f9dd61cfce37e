"""What a client left halfway and did not come back for: reserved, attaching, detaching, without an operation.

After an age that is a setting it is settled as if the client had said that it would not come. Only where an
initiator was let in nobody knows whether it uses the volume: then it does, and nothing is taken from it.
"""

from functools import partial

from pumice.attachments import disconnect
from pumice.attachments.reserve import complete
from pumice.loops.violation import Violation
from pumice.model.scope import INTERNAL
from pumice.operations.drivers import Drivers
from pumice.store import attachments, transitional, volumes
from pumice.store.database import Transaction
from pumice.store.transitional import LOOK_SECONDS as SECONDS
from pumice.store.transitional import Left

__all__ = ["SECONDS", "check"]


async def check(drivers: Drivers) -> list[Violation]:
    """Find what was left for longer than a client may leave it."""
    found = [one for one in await drivers.db.read(transitional.left) if one.is_older(drivers.abandoned_seconds)]
    return [Violation(_words(one), partial(_repair, drivers, one), waits=one.since is None) for one in found]


def _words(one: Left) -> str:
    if one.since is None:
        return f"{one.kind} {one.id} was put to {one.status}, and nobody holds it"
    since = f"{one.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"{one.kind} {one.id} is {one.status} since {since}, and nobody came back for it"


async def _repair(drivers: Drivers, one: Left) -> str:
    def work(tx: Transaction) -> str:
        return _settle(tx, one) if one in transitional.left(tx, one.id) else "it has come right by itself"

    return await drivers.db.write(work)


def _settle(tx: Transaction, one: Left) -> str:
    if one.kind == "volume":
        attachments.let_volume_follow(tx, one.volume_id)
    elif one.connected:
        complete(tx, INTERNAL, one.id)
    elif link := attachments.find(tx, one.id):
        disconnect.accept(tx, INTERNAL, link)
    volume = volumes.find(tx, one.volume_id)
    assert volume is not None
    return f"the volume is {volume.status}"
