"""Images and their members: every read and write of their rows.

A caller sees the images of its project, those that are public or community, and the shared ones it is a member
of; an administrator sees all. What is not seen does not exist for the caller.

The states of the bytes, and the moves between them::

    queued ──begin_saving──▶ saving ──finish_saving──▶ active ◀──activate──▶ deactivated
       ▲                        │
       └────────requeue─────────┘

Of two uploads at once one wins.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from pumice.model.errors import Forbidden, InvalidState, NotFound, OverQuota
from pumice.model.ids import ImageId
from pumice.model.image import UNLIMITED, Image, ImageContent, ImageMember, ImageQuota, MemberStatus, Visibility
from pumice.model.scope import Scope
from pumice.model.states import HAS_BYTES, IMAGE, ImageStatus
from pumice.store.any_of import any_of
from pumice.store.columns import now
from pumice.store.database import Transaction
from pumice.store.moves import Moves
from pumice.store.paging import after, order
from pumice.store.rows import Rows
from pumice.store.tables import image_members, images
from pumice.store.taken import refused_as

Condition = sa.ColumnElement[bool]

HASH = "sha512"

_i = images.c
_m = image_members.c
_rows = Rows(images, Image)
_try_to_move = Moves(images, IMAGE).try_to_move
_member_rows = Rows(image_members, ImageMember)
_insert = sa.insert(images)
_delete = sa.delete(images).where(_i.id == sa.bindparam("b_id"), _i.protected.is_(False))

SORT_KEYS = frozenset(
    {"name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"}
)


# --- reading -------------------------------------------------------------------------------------------------


def get(tx: Transaction, who: Scope, image_id: str) -> Image:
    """An image that the caller may see. Raises ``NotFound``."""
    query = _rows.select.where(_i.id == image_id, _visible(who))
    image = _rows.first(tx.execute(query))
    if image is None:
        raise NotFound("Image", image_id)
    return image


def formats(tx: Transaction, ids: Collection[str]) -> dict[str, str | None]:
    """The disk formats of images by their ids, of those that are there."""
    if not ids:
        return {}
    return {row.id: row.disk_format for row in tx.execute(sa.select(images).where(_i.id.in_(list(ids))))}


def status(tx: Transaction, image_id: str) -> ImageStatus | None:
    """The status of any image, None if there is no such image; for Pumice's own work."""
    image = _rows.get(tx, image_id)
    return image.status if image else None


def page(
    tx: Transaction,
    who: Scope,
    *,
    limit: int,
    marker: str | None,
    sort: Sequence[tuple[str, bool]],
    filters: Iterable[Condition] = (),
    visibility: str | None = None,
    member_status: str = MemberStatus.ACCEPTED,
) -> Sequence[Image]:
    """A page of the images in the caller's list. Raises ``NotFound`` for a marker that is not seen.

    Shared images of others are listed once the caller's project has answered ``member_status`` (or ``all``).
    Community images of others are listed only when ``visibility`` asks for them (or for ``all``).
    """
    query = _rows.select.where(_visible(who, member_status), *filters)
    if visibility is None:
        query = query.where(sa.or_(_i.visibility != Visibility.COMMUNITY, _i.owner == who.project_id))
    elif visibility != "all":
        query = query.where(_i.visibility == visibility)
    keys = [(_i[name], ascending) for name, ascending in sort]
    keys.append((_i.id, keys[-1][1]))
    if marker is not None:
        query = query.where(after(get(tx, who, marker), keys))
    return _rows.all(tx.execute(query.order_by(*order(keys)).limit(limit)))


def _visible(who: Scope, member_status: str = "all") -> Condition:
    if who.is_admin:
        return sa.true()
    membership = sa.exists().where(_m.image_id == _i.id, _m.member_id == who.project_id)
    if member_status != "all":
        membership = membership.where(_m.status == member_status)
    return sa.or_(
        _i.visibility.in_((Visibility.PUBLIC, Visibility.COMMUNITY)),
        _i.owner == who.project_id,
        sa.and_(_i.visibility == Visibility.SHARED, membership),
    )


# --- writing -------------------------------------------------------------------------------------------------


def room(tx: Transaction, project_id: str, quota: ImageQuota) -> int | None:
    """The bytes that a project's images may grow by, None for any number. Raises ``OverQuota`` beyond.

    Asked in the transaction that adds to them, it is also the judge of what was added.
    """
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(_i.size), 0)).where(_i.owner == project_id)
    count, size = map(int, tx.execute(query).one())
    if 0 <= quota.count < count:
        raise OverQuota(f"The project has {count - 1} images, and may have {quota.count}: delete some first.")
    if 0 <= quota.size < size:
        raise OverQuota(f"The project's images would have {size} bytes, and may have {quota.size}.")
    return quota.size - size if quota.size >= 0 else None


def insert(tx: Transaction, image: Image, quota: ImageQuota = UNLIMITED) -> None:
    """Add an image. Raises ``OverQuota``, or ``Conflict`` if its id, which a client may choose, is taken."""
    with refused_as(f"Image ID {image.id} already exists!"):
        tx.execute(_insert, asdict(image))
    room(tx, image.owner, quota)


def change(tx: Transaction, image_id: str, changes: Mapping[str, Any]) -> None:
    """Write columns other than those of the bytes."""
    assert not {"status", "size", "checksum"} & changes.keys()
    tx.execute(sa.update(images).where(_i.id == image_id).values(updated_at=now(), **changes))


def delete(tx: Transaction, who: Scope, image_id: str) -> None:
    """Forget an image, unless it is protected. Raises ``NotFound`` or ``Forbidden``."""
    image = get(tx, who, image_id)
    if not tx.execute(_delete, {"b_id": image.id}).rowcount:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")


def delete_unfinished(tx: Transaction, who: Scope, image_id: str) -> bool:
    """Forget an image that has no bytes. False, and nothing is changed, where it has them."""
    if get(tx, who, image_id).status in HAS_BYTES:
        return False
    delete(tx, who, image_id)
    return True


def begin_saving(tx: Transaction, image_id: str) -> Image:
    """Take a queued image for an upload: from now on its formats stay.

    Raises ``NotFound`` or ``InvalidState``.
    """
    taken = _try_to_move(tx, image_id, {ImageStatus.QUEUED}, ImageStatus.SAVING)
    image = _rows.get(tx, image_id)
    if image is None:
        raise NotFound("Image", image_id)
    if not taken:
        raise InvalidState(f"Image {image_id} is {image.status}: only a queued image takes bytes.")
    return image


def finish_saving(tx: Transaction, image: Image, content: ImageContent, quota: ImageQuota) -> None:
    """The bytes are there. Raises ``OverQuota``, or ``NotFound`` when the image was deleted meanwhile."""
    image_id = image.id
    location = content.location.url if content.location else None
    known = asdict(content) | {"os_hash_algo": HASH, "location": location}
    if not _try_to_move(tx, image_id, {ImageStatus.SAVING}, ImageStatus.ACTIVE, **known):
        raise NotFound("Image", image_id)
    room(tx, image.owner, quota)


def requeue(tx: Transaction, image_id: str) -> None:
    """The upload came to nothing; another may be tried. Does nothing to an image in another state."""
    _try_to_move(tx, image_id, {ImageStatus.SAVING}, ImageStatus.QUEUED)


def activate(tx: Transaction, image: Image, wanted: ImageStatus) -> None:
    """Give an image's bytes out (``ACTIVE``) or not (``DEACTIVATED``); again changes nothing.

    Raises ``Forbidden`` for an image that has no bytes yet, ``NotFound`` when it was deleted meanwhile.
    """
    if image.status not in HAS_BYTES:
        verb = "reactivate" if wanted == ImageStatus.ACTIVE else "deactivate"
        raise Forbidden(f"Not allowed to {verb} image in status '{image.status}'")
    if image.status != wanted and not _try_to_move(tx, image.id, {image.status}, wanted):
        raise NotFound("Image", image.id)


def with_bytes(tx: Transaction) -> frozenset[ImageId]:
    """Every image whose bytes are kept."""
    return frozenset(tx.execute(sa.select(_i.id).where(_i.status.in_(list(HAS_BYTES)))).scalars())


def known(tx: Transaction, ids: Collection[ImageId]) -> frozenset[ImageId]:
    """Which of the ids are images'."""
    return frozenset(tx.execute(sa.select(_i.id).where(any_of(_i.id, ids))).scalars())


def saving(tx: Transaction) -> Sequence[ImageId]:
    """The images that an upload holds, or held when it died."""
    return tx.execute(sa.select(_i.id).where(_i.status == ImageStatus.SAVING)).scalars().all()


# --- members -------------------------------------------------------------------------------------------------


def members(tx: Transaction, who: Scope, image: Image) -> Sequence[ImageMember]:
    """The members of an image: all of them for its owner, only itself for a member."""
    query = _member_rows.select.where(_m.image_id == image.id).order_by(_m.created_at, _m.member_id)
    if not (who.is_admin or image.owner == who.project_id):
        query = query.where(_m.member_id == who.project_id)
    return _member_rows.all(tx.execute(query))


def member(tx: Transaction, who: Scope, image: Image, member_id: str) -> ImageMember:
    """A member of an image. Raises ``NotFound``."""
    for found in members(tx, who, image):
        if found.member_id == member_id:
            return found
    raise NotFound("Member", member_id)


def insert_member(tx: Transaction, new: ImageMember) -> None:
    """Share an image with a project. Raises ``Conflict`` if it is already."""
    with refused_as(
        f"Member {new.member_id} is duplicated for image {new.image_id}: it is shared with it already."
    ):
        tx.execute(sa.insert(image_members), asdict(new))


def change_member(tx: Transaction, old: ImageMember, status: MemberStatus) -> None:
    """Note what the member says to the image."""
    tx.execute(sa.update(image_members).where(*_key(old)).values(status=status, updated_at=now()))


def delete_member(tx: Transaction, old: ImageMember) -> None:
    """Share the image with that project no longer."""
    tx.execute(sa.delete(image_members).where(*_key(old)))


def _key(row: ImageMember) -> tuple[Condition, Condition]:
    return _m.image_id == row.image_id, _m.member_id == row.member_id
