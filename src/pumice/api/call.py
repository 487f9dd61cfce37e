"""One request as a handler sees it, and the answer it gives."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    MutableMapping,
)
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError

from pumice.api.context import ApiContext
from pumice.api.faults import HttpError
from pumice.api.policy import Policy
from pumice.model.errors import Forbidden, Invalid, TooLarge
from pumice.model.scope import Scope

Version = tuple[int, int]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

LONGEST_BODY = 114_688
"""Bytes of JSON that a request may bring (Cinder's ``osapi_max_request_body_size``)."""

MOST_LEVELS = 32
"""Levels of JSON in a body. What is kept of it is read back, inside answers that have levels of their own."""


async def _nobody_judges() -> None:
    """Anybody may ask."""


@dataclass(slots=True)
class Call:
    """A request that was matched to a route, authenticated and allowed."""

    ctx: ApiContext
    method: str
    path: str
    """The whole path as the client sent it."""
    query_string: str
    headers: Mapping[str, str]
    """Names in lower case."""
    stream: AsyncIterator[bytes]
    who: Scope
    version: Version
    base_url: str
    """Scheme and host as the client sees them: ``http://127.0.0.1:8776``."""
    receive: Receive
    """ASGI's: what else the client sends, or that it is gone."""
    policy: Policy
    """The service's rules, for what can only be judged once the thing was read."""
    media_types: Collection[str] = ()
    """What a body may say that it is; anything where none are named."""
    args: dict[str, str] = field(default_factory=dict)
    """What the route's ``{names}`` stood for."""
    action: str | None = None
    """The key of the body that has selected the route, if it is an action's."""
    waited: float = 0.0
    """Seconds for which it waited because its client wished so."""
    judge: Callable[[], Awaitable[None]] = field(default=_nobody_judges)
    """Judges anew who asks, and whether they may: after a wait the token may be none any more.

    Raises ``Unauthenticated`` or ``Forbidden``.
    """
    is_gone: bool = False
    """Whether its client was seen to hang up."""
    _json: Any = None

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of one that is repeated the last."""
        return dict(self.query_pairs)

    @property
    def query_pairs(self) -> list[tuple[str, str]]:
        """The query parameters in their order, repetitions and empty values included. Raises ``Invalid``."""
        pairs = parse_qsl(self.query_string, keep_blank_values=True)
        if any("\0" in word for pair in pairs for word in pair):
            raise Invalid("The query holds a NUL character, which is part of no text.")
        return pairs

    def require_project(self, what: str) -> None:
        """Raise ``Forbidden`` for a token without a project; ``what`` would be that project's: ``A volume``."""
        if self.who.project_id is None:
            raise Forbidden(f"{what} belongs to a project: a token scoped to one is needed.")

    def refuse_many_terms(self) -> None:
        """Raise ``Invalid`` for a query of too many parameters and parts of lists: each costs a condition."""
        most = self.ctx.tunables.api_max_query_terms
        if sum(1 + value.count(",") for _, value in self.query_pairs) > most:
            raise Invalid(
                f"The query has too many parts: at most {most} parameters and items of lists (sort keys, tags, "
                "pairs of metadata, times) together."
            )

    async def json(self) -> Any:
        """The body as JSON (read once). Raises ``Invalid``, ``TooLarge`` or ``HttpError``."""
        if self._json is None:
            said = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if said and self.media_types and said not in self.media_types:
                raise HttpError(415, f"Unsupported Content-Type {said[:100]}: send application/json.")
            body = bytearray()
            async for piece in self.stream:
                body += piece
                if len(body) > LONGEST_BODY:
                    raise TooLarge(f"Request is too large: at most {LONGEST_BODY} bytes.")
            try:
                self._json = orjson.loads(body)
            except orjson.JSONDecodeError:
                raise Invalid("Malformed request body: it is not valid JSON.") from None
            _refuse_what_cannot_be_kept(self._json)
        return self._json

    async def unless_gone(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do something heavy that is dropped when the client hangs up. To be called once the body is read."""
        work = asyncio.ensure_future(doing)
        gone = asyncio.ensure_future(self.gone())
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Invalid("The client went away before the request was answered.")
            return work.result()
        finally:
            work.cancel()
            gone.cancel()

    async def gone(self) -> None:
        """Return when the client hangs up. To be called once the body is read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True

    async def parse(self, model: type[M], key: str | None = None) -> M:
        """The body, or the object under its ``key`` or the action's, as ``model``. Raises ``Invalid``."""
        body, key = await self.json(), key or self.action
        if key is not None:
            if not isinstance(body, dict) or not isinstance(body.get(key), dict):
                raise Invalid(f"Malformed request body: it must be an object with an object under '{key}'.")
            body = body[key]
        return check(model, body, key)

    async def parse_only(self, model: type[M], key: str) -> M:
        """What a body that has no other key has under ``key``, as ``model``. Raises ``Invalid``."""
        body = await self.json()
        if not isinstance(body, dict):
            return check(model, None)
        if beside := body.keys() - {key}:
            raise Invalid(f"Additional properties are not allowed ('{min(beside)}' was unexpected).")
        if key not in body:
            raise Invalid(f"Invalid input: '{key}' is a required property.")
        return check(model, body[key], key)


def _refuse_what_cannot_be_kept(body: Any) -> None:
    """Raise ``Invalid`` for JSON of more levels than any request has, or what no column takes.

    PostgreSQL keeps a NUL in no text, and in JSON only until that is searched: for everybody who searches.
    """
    level = [body]
    for _ in range(MOST_LEVELS):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += (*value.keys(), *value.values())
            elif isinstance(value, list):
                inner.extend(value)
            elif isinstance(value, str) and "\0" in value:
                raise Invalid("Malformed request body: a text in it holds a NUL character.")
            elif isinstance(value, int | float) and abs(value) >= 2**63:
                raise Invalid("Malformed request body: a number in it is out of range.")
        if not inner:
            return
        level = inner
    raise Invalid(f"Malformed request body: it has more than {MOST_LEVELS} levels.")


def check(model: type[M], value: Any, where: str | None = None) -> M:
    """``value`` as ``model``. Raises ``Invalid`` naming the first field that is wrong, its value and why.

    The value is left out for models configured with ``hide_input_in_errors``.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        names = [part for part in first["loc"] if isinstance(part, str) and "[" not in part]
        name = names[-1] if names else where or "body"
        if first["type"] == "extra_forbidden":
            raise Invalid(f"Additional properties are not allowed ('{name}' was unexpected).") from None
        if first["type"] == "missing":
            raise Invalid(f"Invalid input: '{name}' is a required property.") from None
        reason = _reason(first)
        if model.model_config.get("hide_input_in_errors"):  # there may be a secret in it
            raise Invalid(f"Invalid input for field/attribute {name}. {reason}.") from None
        shown = repr(first["input"])
        shown = shown if len(shown) <= 100 else shown[:100] + "…"
        raise Invalid(f"Invalid input for field/attribute {name}. Value: {shown}. {reason}.") from None


def _reason(error: Mapping[str, Any]) -> str:
    """What is wrong, in the words of JSON Schema where clients look for them."""
    if error["type"] == "greater_than_equal":
        return f"{error['input']} is less than the minimum of {error['ctx']['ge']}"
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "It must be a JSON object"
    if error["type"] == "less_than_equal":
        return f"{error['input']} is greater than the maximum of {error['ctx']['le']}"
    return str(error["msg"]).removeprefix("Value error, ")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a status, a body that becomes JSON (or bytes, or a stream of bytes), and headers."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
