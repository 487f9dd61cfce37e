"""What most of Identity's resources are: five routes, and handlers that read or write one row and show it."""

from collections.abc import Callable
from typing import Any

from pumice.api.call import Call, Reply
from pumice.api.identity.lists import Changes, Kept, must_stay
from pumice.api.policy import Rule
from pumice.api.routing import Handler, Route, writes

View = Callable[[Call, Any], dict[str, Any]]


def routes(
    word: str,
    *,
    list: Handler,  # noqa: A002 (the word of the rule that guards it)
    create: Handler,
    show: Handler,
    update: Handler,
    remove: Callable[..., Any],
    readers: str,
    writers: str,
    getters: str = "",
    arg: str = "id",
    also: tuple[Rule, ...] = (),
) -> tuple[Route, ...]:
    """The routes of a resource: ``/services`` and ``/services/{id}`` for ``service``.

    ``readers`` and ``writers`` are the checks of their rules, ``getters`` that of reading one, if it differs.
    ``also`` are further rules that a create may ask.
    """
    every, one = f"/{word}s", f"/{word}s/{{{arg}}}"
    return (
        Route("GET", every, list, Rule(f"identity:list_{word}s", readers)),
        Route("POST", every, create, Rule(f"identity:create_{word}", writers), also=also),
        Route("GET", one, show, Rule(f"identity:get_{word}", getters or readers)),
        Route("PATCH", one, update, Rule(f"identity:update_{word}", writers)),
        Route("DELETE", one, writes(remove, 204, scoped=False), Rule(f"identity:delete_{word}", writers)),
    )


def creating(word: str, body: type[Kept], add: Callable[..., Any], view: View) -> Handler:
    """The handler of a create whose body has the columns of the row."""

    async def handler(call: Call) -> Reply:
        row = (await call.parse(body, word)).row()
        return Reply({word: view(call, await call.ctx.db.write(add, row))}, 201)

    return handler


def updating(
    word: str,
    body: type[Changes],
    change: Callable[..., Any],
    view: View,
    show: Callable[..., Any] | None = None,
    fixed: tuple[str, ...] = (),
) -> Handler:
    """The handler of an update; ``show`` reads the columns that are ``fixed`` besides the id."""

    async def handler(call: Call) -> Reply:
        asked = await call.parse(body, word)
        (resource_id,) = call.args.values()
        before = await call.ctx.db.read(show, resource_id) if show else {"id": resource_id}
        values, extra = asked.given(), asked.extra()
        for column in ("id", *fixed):
            must_stay(f"a {word}", column, before[column], extra)
        return Reply({word: view(call, await call.ctx.db.write(change, resource_id, values, extra))})

    return handler
