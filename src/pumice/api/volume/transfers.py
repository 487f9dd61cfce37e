"""Volume transfers, under their old path and their new one (api-ref, "Volume transfers")."""

from operator import attrgetter
from typing import Any

from pydantic import ConfigDict, Field

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection, Unknown
from pumice.api.fields import Body, Boolean, Name, Text, Uuid
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.short_lists import equals, read_whole, texts
from pumice.api.volume.filters import asks_for_all
from pumice.api.volume.links import Links
from pumice.api.volume.volume_view import wire_time
from pumice.model.volume import Transfer
from pumice.store import transfers
from pumice.volumes import transfer as verbs

WITH_SNAPSHOTS, WITH_HISTORY, WITH_PAGES = (3, 55), (3, 57), (3, 59)
FILTERED_BY = {name: attrgetter(name) for name in ("id", "name", "volume_id")} | {
    "display_name": attrgetter("name"),
    "source_project_id": attrgetter("project_id"),
}
LIST = Collection(
    texts(attrgetter, "id", "name", "volume_id", "created_at"),
    lambda call: equals(call.query, FILTERED_BY),
    read_whole("Transfer", transfers.visible),
    everywhere=asks_for_all,
    ordered_since=WITH_PAGES,
    unknown=Unknown.INVALID,
)


class NewTransfer(Body):
    """What may be asked of an offer."""

    volume_id: Uuid
    name: Name = None


class NewTransferWithSnapshots(NewTransfer):
    """A new transfer, from 3.55: with the volume's snapshots or without."""

    no_snapshots: Boolean = False


class Accept(Body):
    """The body of an accept: the transfer's key."""

    model_config = ConfigDict(hide_input_in_errors=True)
    auth_key: Text | int = Field(union_mode="left_to_right")


async def create(call: Call) -> Reply:
    """Offer a volume: 202, with the key."""
    asked = await call.parse(
        NewTransferWithSnapshots if call.version >= WITH_SNAPSHOTS else NewTransfer, "transfer"
    )
    no_snapshots = isinstance(asked, NewTransferWithSnapshots) and asked.no_snapshots
    made, key = await call.ctx.db.write(
        lambda tx: verbs.offer(tx, call.who, asked.volume_id, asked.name, no_snapshots=no_snapshots)
    )
    return Reply({"transfer": {**detail(call, made), "auth_key": key}}, 202)


async def accept(call: Call) -> Reply:
    """Take an offered volume: 202."""
    key = str((await call.parse_only(Accept, "accept")).auth_key)
    taken = await call.ctx.db.write(verbs.take, call.who, call.args["id"], key, call.ctx.tunables)
    return Reply({"transfer": summary(call, taken)}, 202)


def summary(call: Call, transfer: Transfer) -> dict[str, Any]:
    """An offer in a short list."""
    return {
        "id": transfer.id,
        "volume_id": transfer.volume_id,
        "name": transfer.name,
        "links": Links(call, "os-volume-transfer").to(transfer.id),
    }


def detail(call: Call, transfer: Transfer) -> dict[str, Any]:
    """An offer by itself. One that was accepted is gone, so each that there is was not."""
    shown = {**summary(call, transfer), "created_at": wire_time(transfer.created_at)}
    if call.version >= WITH_SNAPSHOTS:
        shown["no_snapshots"] = transfer.no_snapshots
    if call.version >= WITH_HISTORY:
        shown |= {
            "source_project_id": transfer.project_id,
            "destination_project_id": None,
            "accepted": False,
        }
    return shown


def _routes(path: str) -> tuple[Route, ...]:
    return (
        Route("GET", path, LIST.answers("transfers", summary), Rule("volume:get_all_transfers", READER)),
        Route(
            "GET", f"{path}/detail", LIST.answers("transfers", detail), Rule("volume:get_all_transfers", READER)
        ),
        Route("POST", path, create, Rule("volume:create_transfer", MEMBER)),
        Route(
            "GET",
            f"{path}/{{id}}",
            showing("transfer", transfers.get, detail),
            Rule("volume:get_transfer", READER),
        ),
        Route("DELETE", f"{path}/{{id}}", writes(verbs.withdraw), Rule("volume:delete_transfer", MEMBER)),
        Route("POST", f"{path}/{{id}}/accept", accept, Rule("volume:accept_transfer", MEMBER)),
    )


ROUTES = (*_routes("/os-volume-transfer"), *_routes("/volume-transfers"))
