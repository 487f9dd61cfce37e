"""An administrator's word on what nothing holds: its row says another status from now on."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.fields import Body
from pumice.api.routing import Handler
from pumice.model.errors import Invalid
from pumice.model.scope import Scope
from pumice.operations.at_once import AtOnce, record
from pumice.store.database import Transaction


class ResetStatus(Body):
    """The status that a row is to have."""

    status: str


def resets(states: Collection[StrEnum], overrule: Callable[..., Any], kind: AtOnce, refusal: str) -> Handler:
    """The handler of an action that has ``overrule`` write one of the ``states``: 202.

    ``kind`` is what the log calls it. ``refusal`` is the sentence for any other word: ``{word}`` and
    ``{states}`` stand in it for what they are.
    """

    def work(tx: Transaction, who: Scope, key: str, state: StrEnum) -> None:
        record(tx, kind, overrule(tx, who, key, state), who)

    async def handler(call: Call) -> Reply:
        word = (await call.parse(ResetStatus)).status
        state = next((one for one in states if one == word.lower()), None)
        if state is None:
            raise Invalid(refusal.format(word=word[:100], states=", ".join(sorted(states))))
        await call.ctx.db.write(work, call.who, call.args["id"], state)
        return Reply(status=202)

    return handler
