"""``/v2/images/{id}/actions``: whether an image's bytes are given out (api-ref "Image actions")."""

from pumice.api.call import Call
from pumice.api.image.access import permitted
from pumice.api.policy import MEMBER, Rule
from pumice.api.routing import Route, acts
from pumice.model.states import ImageStatus
from pumice.store import images
from pumice.store.database import Transaction

DEACTIVATE = Rule("deactivate", MEMBER)
REACTIVATE = Rule("reactivate", MEMBER)


def routes() -> list[Route]:
    """The routes of an image's actions.

    A deactivated image gives its bytes to administrators alone, and nothing is made from it.
    """
    return [
        _route("deactivate", DEACTIVATE, ImageStatus.DEACTIVATED),
        _route("reactivate", REACTIVATE, ImageStatus.ACTIVE),
    ]


def _route(word: str, rule: Rule, wanted: ImageStatus) -> Route:
    def activate(tx: Transaction, call: Call) -> None:
        images.activate(tx, permitted(tx, call.policy, rule, call.who, call.args["id"]), wanted)

    return Route("POST", f"/v2/images/{{id}}/actions/{word}", acts(activate, status=204), rule)
