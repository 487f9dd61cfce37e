"""``/v2/images/{id}/members``: the projects that a shared image is shared with (api-ref "Sharing")."""

from pumice.api.call import Call, Reply
from pumice.api.image.access import permitted
from pumice.api.image.bodies import MOST_MEMBERS, MemberAnswer, NewMember
from pumice.api.image.views import member_view
from pumice.api.policy import MEMBER, READER, Policy, Rule
from pumice.api.routing import Route, acts
from pumice.model.errors import Forbidden, NotFound, TooLarge
from pumice.model.ids import ImageId
from pumice.model.image import Image, ImageMember, MemberStatus, Visibility
from pumice.model.scope import Scope
from pumice.store import images
from pumice.store.columns import now
from pumice.store.database import Transaction

_PATH = "/v2/images/{id}/members"


ADD = Rule("add_member", MEMBER)
MODIFY = Rule("modify_member", MEMBER)
DELETE = Rule("delete_member", MEMBER)


def routes() -> list[Route]:
    """What the resource ``member`` answers."""
    return [
        Route("POST", _PATH, create, ADD),
        Route("GET", _PATH, show_all, Rule("get_members", READER)),
        Route("GET", f"{_PATH}/{{member_id}}", show, Rule("get_member", READER)),
        Route("PUT", f"{_PATH}/{{member_id}}", update, MODIFY),
        Route("DELETE", f"{_PATH}/{{member_id}}", acts(_delete, status=204), DELETE),
    ]


async def create(call: Call) -> Reply:
    """Share the image with a project, which may accept it."""
    new = await call.parse(NewMember)
    member = await call.ctx.db.write(_create, call.policy, call.who, call.args["id"], new.member)
    return Reply(member_view(member))


async def show_all(call: Call) -> Reply:
    """List the projects that an image is shared with."""
    found = await call.ctx.db.read(_members, call.who, call.args["id"])
    return Reply({"members": [member_view(member) for member in found], "schema": "/v2/schemas/members"})


async def show(call: Call) -> Reply:
    """Show one member of an image."""
    member = await call.ctx.db.read(_member, call.who, call.args["id"], call.args["member_id"])
    return Reply(member_view(member))


async def update(call: Call) -> Reply:
    """The member's own answer: accept, reject, or neither."""
    answer = await call.parse(MemberAnswer)
    member = await call.ctx.db.write(
        _answer, call.policy, call.who, call.args["id"], call.args["member_id"], answer.status
    )
    return Reply(member_view(member))


def _create(tx: Transaction, policy: Policy, who: Scope, image_id: str, member_id: str) -> ImageMember:
    image = permitted(tx, policy, ADD, who, image_id)
    _require_shared(image)
    if len(images.members(tx, who, image)) >= MOST_MEMBERS:
        raise TooLarge(f"Image member limit exceeded for image {image_id}: {MOST_MEMBERS}.")
    created_at = now()
    member = ImageMember(ImageId(image_id), member_id, MemberStatus.PENDING, created_at, created_at)
    images.insert_member(tx, member)
    return member


def _members(tx: Transaction, who: Scope, image_id: str) -> list[ImageMember]:
    image = images.get(tx, who, image_id)
    _require_shared(image)
    return list(images.members(tx, who, image))


def _member(tx: Transaction, who: Scope, image_id: str, member_id: str) -> ImageMember:
    image = images.get(tx, who, image_id)
    if image.visibility != Visibility.SHARED:
        raise NotFound("Member", member_id)
    return images.member(tx, who, image, member_id)


def _answer(
    tx: Transaction, policy: Policy, who: Scope, image_id: str, member_id: str, status: MemberStatus
) -> ImageMember:
    image = images.get(tx, who, image_id)
    _require_shared(image)
    policy.require(MODIFY, who, member_id)
    images.change_member(tx, images.member(tx, who, image, member_id), status)
    return images.member(tx, who, image, member_id)


def _delete(tx: Transaction, call: Call) -> None:
    """Share the image with the project no longer."""
    image = permitted(tx, call.policy, DELETE, call.who, call.args["id"])
    _require_shared(image)
    images.delete_member(tx, images.member(tx, call.who, image, call.args["member_id"]))


def _require_shared(image: Image) -> None:
    if image.visibility != Visibility.SHARED:
        raise Forbidden("Only shared images have members.")
