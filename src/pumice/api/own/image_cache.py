"""The image cache for operators: which bases of images the pools keep; to let one go."""

from pumice.api.call import Call, Reply
from pumice.api.own import shapes
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.model.image_base import ImageBase
from pumice.store import image_bases
from pumice.volumes.bases import evict


async def list_bases(call: Call) -> Reply:
    """List every base, by pool, what was used last first: so many as all pools together may keep."""
    found = await call.ctx.db.read(image_bases.every)
    return Reply(shapes.ImageBases(image_bases=[_shape(base) for base in found]).model_dump(mode="json"))


def _shape(base: ImageBase) -> shapes.ImageBase:
    names = ("id", "pool", "image_id", "size", "status", "uses", "used_at", "created_at", "operation_id")
    return shapes.ImageBase(**{name: getattr(base, name) for name in names})


async def evict_base(call: Call) -> Reply:
    """Let a base go: 202. What was cloned of it stays whole; the next volume of its image makes another."""
    operation_id = await call.ctx.db.write(evict.accept, call.args["id"])
    return Reply(shapes.Begun(operation_id=operation_id).model_dump(), 202)


ROUTES = (
    Route("GET", "/image-cache", list_bases, Rule("pumice:image_cache:list", ADMIN)),
    Route("POST", "/image-cache/{id}/actions/evict", evict_base, Rule("pumice:image_cache:evict", ADMIN)),
)
