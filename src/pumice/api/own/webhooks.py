"""Webhooks: where a project wants to be told what its operations do (``docs/webhooks.md``)."""

from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypeAliasType

from pumice.api.call import Call, Reply
from pumice.api.collection import Collection
from pumice.api.fields import Body, Boolean, LongText
from pumice.api.own import shapes
from pumice.api.own.rules import all_projects
from pumice.api.policy import MEMBER, READER, Rule
from pumice.api.routing import Route, showing, writes
from pumice.api.short_lists import equals, read_whole, texts
from pumice.model.errors import Invalid
from pumice.model.webhook import BY_DEFAULT, OUTCOMES, Format, Webhook
from pumice.store import webhooks
from pumice.webhooks import manage
from pumice.webhooks.message import is_secret, new_secret

_FILTERS = ("url", "format")
LIST = Collection[Webhook](
    texts(attrgetter, "id", "url", "created_at"),
    lambda call: equals(_known(call), {name: attrgetter(name) for name in _FILTERS}),
    read_whole("Webhook", webhooks.every),
    everywhere=all_projects,
)
_PLAIN = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "offset", "all_projects", *_FILTERS})


def _known(call: Call) -> dict[str, str]:
    if unknown := call.query.keys() - _PLAIN:
        raise Invalid(f"There is no filter '{min(unknown)}'. There are {', '.join(_FILTERS)}.")
    return {name: value for name, value in call.query.items() if name != "all_projects"}


def _secret(value: str) -> str:
    if not is_secret(value):
        raise ValueError("A secret is whsec_ and then base64 of 24 to 64 random bytes")
    return value


def _each_once(value: list[str]) -> list[str]:
    return list(dict.fromkeys(value))


Kind = Annotated[str, Field(pattern=r"^[a-z_*]+(\.[a-z_*]+)*$", max_length=64)]
Kinds = Annotated[
    list[Kind],
    Field(
        min_length=1, max_length=20, description="Kinds of operations, in which * stands for any characters."
    ),
    AfterValidator(_each_once),
]
Outcome = TypeAliasType("Outcome", Literal[OUTCOMES])  # type: ignore[valid-type]
"""By its own name in the document, which says so once what there is."""
Outcomes = Annotated[
    list[Outcome],
    Field(
        min_length=1,
        max_length=20,
        description="start, end and error of operations; done, retry, failed and waiting of their steps.",
    ),
    AfterValidator(_each_once),
]
Url = Annotated[
    str, Field(max_length=2048, description="http:// or https://, where a POST is answered with 2xx.")
]
Secret = Annotated[
    str,
    Field(max_length=100, description="whsec_ and base64 of 24 to 64 bytes."),
    AfterValidator(_secret),
]


class NewWebhook(Body):
    """A webhook to be made."""

    model_config = ConfigDict(hide_input_in_errors=True)
    url: Url
    description: LongText | None = None
    kinds: Kinds = Field(default_factory=lambda: ["*"])
    outcomes: Outcomes = Field(default_factory=lambda: list(BY_DEFAULT))
    format: Format = Format.PUMICE
    enabled: Boolean = True
    secret: Secret | None = Field(
        None, description="Made, and shown in this answer alone, where none is given."
    )


class ChangedWebhook(Body):
    """What is to be otherwise with a webhook."""

    model_config = ConfigDict(hide_input_in_errors=True)
    url: Url | None = None
    description: LongText | None = None
    kinds: Kinds | None = None
    outcomes: Outcomes | None = None
    format: Format | None = None
    enabled: Boolean | None = None
    secret: Secret | None = None
    new_secret: Literal[True] | None = Field(None, description="Make another one, shown in this answer alone.")


class WebhookBody(Body):
    """The body of a create."""

    webhook: NewWebhook


class ChangeBody(Body):
    """The body of an update."""

    webhook: ChangedWebhook


def view(_: Call, webhook: Webhook) -> dict[str, Any]:
    """A webhook, without its secret."""
    names = shapes.Webhook.model_fields.keys() - {"secret"}
    shown = shapes.Webhook(**{name: getattr(webhook, name) for name in names})
    return shown.model_dump(mode="json", exclude={"secret"})


async def create(call: Call) -> Reply:
    """Make a webhook: 201, with its secret."""
    call.require_project("A webhook")
    asked = await call.parse_only(NewWebhook, "webhook")
    ctx, most = call.ctx, call.ctx.tunables.webhooks_per_project
    made = await ctx.db.write(lambda tx: manage.create(tx, call.who, ctx.outbound, most, **asked.model_dump()))
    return Reply({"webhook": {**view(call, made), "secret": made.secret}}, 201)


async def update(call: Call) -> Reply:
    """Change a webhook; a new secret is in the answer."""
    asked = (await call.parse_only(ChangedWebhook, "webhook")).model_dump(exclude_unset=True)
    if empty := [name for name, value in asked.items() if value is None and name != "description"]:
        raise Invalid(f"Invalid input for field/attribute {min(empty)}. Value: None. It must not be null.")
    if asked.pop("new_secret", False):
        if "secret" in asked:
            raise Invalid("Give a secret or ask for a new one, not both.")
        asked["secret"] = new_secret()
    if not asked:
        raise Invalid("Nothing is to be changed.")
    changed = await call.ctx.db.write(manage.change, call.who, call.args["id"], call.ctx.outbound, asked)
    beside = {"secret": changed.secret} if "secret" in asked else {}
    return Reply({"webhook": {**view(call, changed), **beside}})


async def test(call: Call) -> Reply:
    """Send a webhook a message that tells of nothing, once: 202, with the operation that does it."""
    op = await call.ctx.db.write(manage.try_out, call.who, call.args["id"])
    return Reply(shapes.Begun(operation_id=op.id).model_dump(), 202)


_ONE = "/webhooks/{id}"
ROUTES = (
    Route("GET", "/webhooks", LIST.answers("webhooks", view), Rule("pumice:webhooks:list", READER)),
    Route("POST", "/webhooks", create, Rule("pumice:webhooks:create", MEMBER)),
    Route("GET", _ONE, showing("webhook", webhooks.visible, view), Rule("pumice:webhooks:show", READER)),
    Route("PUT", _ONE, update, Rule("pumice:webhooks:update", MEMBER)),
    Route("DELETE", _ONE, writes(manage.delete, 204), Rule("pumice:webhooks:delete", MEMBER)),
    Route("POST", f"{_ONE}/actions/test", test, Rule("pumice:webhooks:test", MEMBER)),
)
