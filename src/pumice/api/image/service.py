"""The Image API v2 as a service: ``/image``."""

from pathlib import Path

from pumice.api import absent
from pumice.api.context import ApiContext
from pumice.api.faults import plain_fault
from pumice.api.image import actions, discovery, members, rules, schemas
from pumice.api.image.data import ImageData
from pumice.api.image.images import Images
from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.images.files import ImageFiles
from pumice.model.errors import ImageRefused, InvalidState


def image_routes(files: ImageFiles) -> list[Route]:
    """The routes of the Image API, with the bytes from ``files``."""
    return [
        *discovery.routes(),
        *schemas.routes(),
        *Images(files).routes(),
        *ImageData(files).routes(),
        *actions.routes(),
        *members.routes(),
    ]


def image_service(ctx: ApiContext, files: ImageFiles, policy_file: Path | None = None) -> Service:
    """The service over the image files of a directory; ``loops/uploads.py`` is to run beside it."""
    return Service(
        ctx,
        prefix="/image",
        types=("image",),
        routes=image_routes(files),
        policy_file=policy_file,
        policy_words=rules.WORDS,
        fault=plain_fault,
        absent=absent.IMAGE,
        statuses={InvalidState: 409, ImageRefused: 415},
    )
