"""``/v2/images``: create, list, show, update, delete, and tags."""

from functools import partial

from pumice.api.call import Call, Reply, check
from pumice.api.faults import HttpError
from pumice.api.image import patch
from pumice.api.image.access import SHOWING, permitted, require_visibility
from pumice.api.image.bodies import LONGEST_NAME, Fields, NewImage, require_few, require_settable
from pumice.api.image.image_list import index
from pumice.api.image.views import image_view
from pumice.api.policy import ADMIN, MEMBER, READER, Policy, Rule
from pumice.api.routing import Route, acts
from pumice.images.adopt import adopt
from pumice.images.delete import delete
from pumice.images.files import ImageFiles
from pumice.model.errors import Forbidden, Invalid, NotFound
from pumice.model.ids import ImageId, new_id
from pumice.model.image import Image
from pumice.model.scope import Scope
from pumice.model.states import ImageStatus
from pumice.store import images
from pumice.store.columns import now
from pumice.store.database import Transaction

ADD = Rule("add_image", MEMBER)
MODIFY = Rule("modify_image", MEMBER)
DELETE = Rule("delete_image", MEMBER)
LOCATE = Rule("set_image_location", ADMIN)
"""A location is a cluster's own word for somebody's bytes: whoever gives it is given them."""


class Images:
    """The resource ``image``."""

    def __init__(self, files: ImageFiles) -> None:
        self._files = files
        self._view = partial(image_view, shows_url=files.shows_url)

    def routes(self) -> list[Route]:
        """The routes of images and their tags."""
        return [
            Route("POST", "/v2/images", self.create, ADD, also=SHOWING),
            Route("GET", "/v2/images", index(shows_url=self._files.shows_url), Rule("get_images", READER)),
            Route("GET", "/v2/images/{id}", self.show, Rule("get_image", READER), live=True),
            Route("PATCH", "/v2/images/{id}", self.update, MODIFY, also=(*SHOWING, LOCATE)),
            Route("DELETE", "/v2/images/{id}", self.delete, DELETE),
            Route("PUT", "/v2/images/{id}/tags/{tag}", acts(_tag, status=204), MODIFY),
            Route("DELETE", "/v2/images/{id}/tags/{tag}", acts(_untag, status=204), MODIFY),
        ]

    async def create(self, call: Call) -> Reply:
        """An image without bytes yet: it waits, ``queued``, for its upload."""
        body = await call.json()
        if isinstance(body, dict):
            for name in body:
                require_settable(name)
        image = _new_image(call.who, check(NewImage, body))
        call.policy.require(ADD, call.who, image.owner)
        require_visibility(call.policy, call.who, image.owner, image.visibility)
        await call.ctx.db.write(images.insert, image, self._files.quota)
        location = f"{call.base_url}{call.path.rstrip('/')}/{image.id}"
        return Reply(self._view(image), 201, {"Location": location})

    async def show(self, call: Call) -> Reply:
        """Show one image."""
        return Reply(self._view(await call.ctx.db.read(images.get, call.who, call.args["id"])))

    async def update(self, call: Call) -> Reply:
        """Change attributes and custom properties."""
        media_type = call.headers.get("content-type", "").partition(";")[0].strip()
        if media_type not in (patch.MEDIA_TYPE, patch.OLDER_MEDIA_TYPE):
            raise HttpError(
                415,
                f"Image PATCH expects Content-Type {patch.MEDIA_TYPE}.",
                {"Accept-Patch": patch.MEDIA_TYPE},
            )
        body = await call.json()
        if self._files.shows_url and (url := patch.location_of(body)):
            return await self._adopt(call, url)
        patches = patch.parse(body, media_type)
        image = await call.ctx.db.write(_update, call.policy, call.who, call.args["id"], patches)
        return Reply(self._view(image))

    async def _adopt(self, call: Call, url: str) -> Reply:
        """Have a queued image begin with what lies at a location."""
        db = call.ctx.db
        image = await db.read(permitted, call.policy, LOCATE, call.who, call.args["id"])
        work = partial(adopt, db, self._files, image.id, url)
        await self._files.answered("adopt", image.id, work)
        return Reply(self._view(await db.read(images.get, call.who, image.id)))

    async def delete(self, call: Call) -> Reply:
        """Delete an image and its bytes."""
        db = call.ctx.db
        image = await db.read(permitted, call.policy, DELETE, call.who, call.args["id"])
        work = partial(delete, db, self._files, call.who, image)
        await self._files.answered("delete", image.id, work)
        return Reply(status=204)


def _new_image(who: Scope, new: NewImage) -> Image:
    owner = new.owner or who.project_id
    if owner is None:
        raise Invalid("An image belongs to a project: name its owner, or use a token of a project.")
    if owner != who.project_id and not who.is_admin:
        raise Forbidden(f"You are not permitted to create images owned by '{owner}'.")
    if any(len(name) > LONGEST_NAME for name in new.properties):
        raise Invalid(f"Custom property should not be greater than {LONGEST_NAME} characters.")
    require_few(new.properties)
    created_at = now()
    return Image(
        id=ImageId(new.id or new_id()),
        owner=owner,
        name=new.name,
        status=ImageStatus.QUEUED,
        visibility=new.visibility,
        disk_format=new.disk_format,
        container_format=new.container_format,
        size=None,
        virtual_size=None,
        checksum=None,
        os_hash_algo=None,
        os_hash_value=None,
        min_disk=new.min_disk,
        min_ram=new.min_ram,
        protected=new.protected,
        os_hidden=new.os_hidden,
        tags=new.tags,
        properties=new.properties,
        created_at=created_at,
        updated_at=created_at,
    )


def _update(tx: Transaction, policy: Policy, who: Scope, image_id: str, patches: list[patch.Patch]) -> Image:
    image = permitted(tx, policy, MODIFY, who, image_id)
    changes = patch.changes(image, patches)
    if "owner" in changes and not who.is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if "owner" in changes and changes["owner"] is None:
        raise Invalid("An image belongs to a project: its owner cannot be null.")
    if "visibility" in changes:
        require_visibility(policy, who, image.owner, changes["visibility"])
    if changes:
        images.change(tx, image_id, changes)
    return images.get(tx, who, image_id)


def _tag(tx: Transaction, call: Call) -> None:
    """Give an image a tag; it may have it already."""
    image = permitted(tx, call.policy, MODIFY, call.who, call.args["id"])
    tags = check(Fields, {"tags": [*image.tags, call.args["tag"]]}).tags
    images.change(tx, image.id, {"tags": tags})


def _untag(tx: Transaction, call: Call) -> None:
    """Take a tag away. Raises ``NotFound``."""
    image, tag = permitted(tx, call.policy, MODIFY, call.who, call.args["id"]), call.args["tag"]
    if tag not in image.tags:
        raise NotFound("Tag", tag)
    images.change(tx, image.id, {"tags": [kept for kept in image.tags if kept != tag]})
