"""Route tables: every path, method and action of a service, with its policy and its first microversion."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel

from pumice.api.call import Call, Reply, Version
from pumice.api.faults import HttpError
from pumice.api.policy import Rule

Handler = Callable[[Call], Awaitable[Reply]]


def writes(
    work: Callable[..., Any],
    status: int = 202,
    *,
    body: type[BaseModel] | None = None,
    scoped: bool = True,
    tuned: bool = False,
) -> Handler:
    """A handler that does ``work`` to what the path names, in one transaction, and answers ``status`` alone.

    ``work`` is given the transaction, the caller's scope (unless it is not ``scoped``), the path's values in
    their order, and by their names the fields of the ``body`` and, if it is ``tuned``, the ``tunables``. What
    it returns is not told.
    """

    async def handler(call: Call) -> Reply:
        asked = await call.parse(body) if body else None
        fields = {name: getattr(asked, name) for name in body.model_fields} if body else {}
        if tuned:
            fields["tunables"] = call.ctx.tunables
        await call.ctx.db.write(partial(work, **fields), *((call.who,) if scoped else ()), *call.args.values())
        return Reply(status=status)

    return handler


def acts(work: Callable[..., None], body: type[BaseModel] | None = None, status: int = 202) -> Handler:
    """A handler that does ``work`` in one transaction, and answers ``status`` alone.

    ``work`` is given the transaction, the call and, where there is one, the ``body``.
    """

    async def handler(call: Call) -> Reply:
        asked = (await call.parse(body),) if body else ()
        await call.ctx.db.write(work, call, *asked)
        return Reply(status=status)

    return handler


def showing(
    word: str, read: Callable[..., Any], view: Callable[[Call, Any], Any], *, scoped: bool = True
) -> Handler:
    """A handler that shows as ``word`` what the path names; it is read in the caller's scope if ``scoped``."""

    async def handler(call: Call) -> Reply:
        found = await call.ctx.db.read(read, *((call.who,) if scoped else ()), *call.args.values())
        return Reply({word: view(call, found)})

    return handler


@dataclass(frozen=True, slots=True)
class Route:
    """One thing a client can ask for."""

    method: str
    path: str
    """Below the service's prefix, with ``{names}`` for parts that vary: ``/volumes/{id}``."""
    handler: Handler
    rule: Rule | None
    """What guards it; None for what anybody may ask without a token."""
    since: Version = (0, 0)
    until: Version = (999, 999)
    action: str | None = None
    """The key of the body that selects this route, for ``POST …/action``."""
    bare: bool = False
    """Whether the path never has a project in it (version documents)."""

    live: bool = False
    """Whether it shows one thing, every change of which is told: a client may wait for the next."""
    looks: bool = False
    """Whether it makes nothing, though it is a POST."""
    waits: bool = False
    """A list that an operation on some host has to make."""
    also: tuple[Rule, ...] = ()
    """What its handler asks besides: for a part of what it does, or of what it shows. No other can be asked."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that may be asked for it."""
        return (*((self.rule,) if self.rule else ()), *self.also)

    @property
    def takes_a_turn(self) -> bool:
        """Whether it is a list that is made here, of which a project has one made at a time."""
        return self.method == "GET" and "{" not in self.path and not self.waits

    @property
    def makes(self) -> bool:
        """Whether it makes what was not there: a collection grows, or an image gets its bytes."""
        if self.method == "POST":
            return self.action is None and "/actions/" not in self.path and not self.looks
        return self.method == "PUT" and self.path.endswith("/file")


def checks_of(routes: Iterable[Route]) -> dict[str, str]:
    """The default check of every rule that the routes declare, by the rule's name.

    Raises ``ValueError`` where one name has two checks.
    """
    checks: dict[str, str] = {}
    for route in routes:
        for rule in route.rules:
            if checks.setdefault(rule.name, rule.check) != rule.check:
                raise ValueError(f"{rule.name} is declared with two checks: {checks[rule.name]}, {rule.check}")
    return checks


@dataclass(slots=True)
class _Node:
    children: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    routes: dict[tuple[str, str | None], list[tuple[Route, tuple[str, ...]]]] = field(default_factory=dict)


class Table:
    """All routes of a service as a tree of path segments; finding one costs a look-up per segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._root = _Node()
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for part in _split(route.path):
            if part.startswith("{"):
                names.append(part[1:-1])
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.children.setdefault(part, _Node())
        key = route.method, route.action
        node.routes.setdefault(key, []).append((route, tuple(names)))

    def knows(self, first: str, below: str = "") -> bool:
        """Whether this segment may follow the path ``below`` (else it is taken for a project's id)."""
        node: _Node | None = self._root
        for part in _split(below):
            node = node.children.get(part) if node else None
        return node is not None and first in node.children

    def node(self, path: str) -> tuple[_Node, list[str]] | None:
        """The node of a path and the values of its variable parts."""
        return _descend(self._root, _split(path), [])


def _descend(node: _Node, parts: list[str], values: list[str]) -> tuple[_Node, list[str]] | None:
    if not parts:
        return (node, values) if node.routes else None
    first, rest = parts[0], parts[1:]
    if (child := node.children.get(first)) and (found := _descend(child, rest, values)):
        return found
    if node.variable and first and "\0" not in first:  # nothing that is stored has such a name
        return _descend(node.variable, rest, [*values, first])
    return None


def _split(path: str) -> list[str]:
    """The segments of a path; one after a last slash is empty, and is no other's name."""
    return path.split("/")[1:] if path != "/" else []


def choose(
    node: _Node, values: list[str], method: str, version: Version, body: Any
) -> tuple[Route, dict[str, str]]:
    """The node's route for a method, an action (the body's key) and a version. Raises ``HttpError``."""
    action = None
    if candidates := node.routes.get((method, None)):
        pass
    elif actions := [name for known, name in node.routes if known == method and name is not None]:
        if not isinstance(body, dict) or len(body) != 1:
            raise HttpError(400, "Malformed request body: an object with exactly one action is expected.")
        action = next(iter(body))
        candidates = node.routes.get((method, action))
        if not candidates:
            known = ", ".join(sorted(actions))
            raise HttpError(400, f"There is no such action: {action}. Known are: {known}.")
    else:
        allowed = ", ".join(sorted({known for known, _ in node.routes}))
        raise HttpError(405, f"The method {method} is not allowed for this resource.", {"Allow": allowed})
    for route, names in candidates:
        if route.since <= version <= route.until:
            return route, dict(zip(names, values, strict=True))
    raise _not_yet(candidates[0][0], version)


def _not_yet(route: Route, version: Version) -> HttpError:
    """What a client should say that asks for something before its time, or after."""
    asked = f"The resource could not be found at API version {version[0]}.{version[1]}"
    if version < route.since:
        return HttpError(
            404, f"{asked}: it is there since {route.since[0]}.{route.since[1]}. Ask for that version."
        )
    return HttpError(
        404, f"{asked}: it is there up to {route.until[0]}.{route.until[1]}. Ask for that version."
    )
