"""``/v2/images/{id}/actions``: whether an image's bytes are given out (api-ref "Image actions")."""

from pumice.api.call import Call, Reply
from pumice.api.image.access import permitted
from pumice.api.policy import MEMBER, Policy, Rule
from pumice.api.routing import Route
from pumice.model.scope import Scope
from pumice.model.states import ImageStatus
from pumice.store import images
from pumice.store.database import Transaction

DEACTIVATE = Rule("deactivate", MEMBER)
REACTIVATE = Rule("reactivate", MEMBER)


def routes() -> list[Route]:
    """The routes of an image's actions."""
    return [
        Route("POST", "/v2/images/{id}/actions/deactivate", deactivate, DEACTIVATE),
        Route("POST", "/v2/images/{id}/actions/reactivate", reactivate, REACTIVATE),
    ]


async def deactivate(call: Call) -> Reply:
    """Deactivate an image: only administrators get its bytes, and nothing is made from it."""
    return await _set(call, DEACTIVATE, ImageStatus.DEACTIVATED)


async def reactivate(call: Call) -> Reply:
    """Activate an image again: everybody who sees it gets its bytes."""
    return await _set(call, REACTIVATE, ImageStatus.ACTIVE)


async def _set(call: Call, rule: Rule, wanted: ImageStatus) -> Reply:
    await call.ctx.db.write(_activate, call.policy, rule, call.who, call.args["id"], wanted)
    return Reply(status=204)


def _activate(
    tx: Transaction, policy: Policy, rule: Rule, who: Scope, image_id: str, wanted: ImageStatus
) -> None:
    images.activate(tx, permitted(tx, policy, rule, who, image_id), wanted)
