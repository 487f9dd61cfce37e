"""``/v2/images/{id}/file``: an image's bytes, in and out (api-ref "Image data")."""

import re
from collections.abc import AsyncIterator
from functools import partial

from pumice.api.call import Call, Reply
from pumice.api.faults import HttpError
from pumice.api.image.access import permitted
from pumice.api.policy import MEMBER, Rule
from pumice.api.routing import Route
from pumice.images.files import ImageFiles
from pumice.images.upload import upload
from pumice.model.errors import Forbidden, Invalid, NotFound
from pumice.model.states import ImageStatus
from pumice.store import images

BYTES = "application/octet-stream"

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


UPLOAD = Rule("upload_image", MEMBER)


class ImageData:
    """The resource ``image file``."""

    def __init__(self, files: ImageFiles) -> None:
        self._files = files

    def routes(self) -> list[Route]:
        """The routes of an image's bytes."""
        return [
            Route("PUT", "/v2/images/{id}/file", self.upload, UPLOAD),
            Route("GET", "/v2/images/{id}/file", self.download, Rule("download_image", MEMBER)),
        ]

    async def upload(self, call: Call) -> Reply:
        """Take the bytes of a queued image."""
        if call.headers.get("content-type", "").partition(";")[0].strip() != BYTES:
            raise HttpError(415, f"An image's bytes are sent with Content-Type {BYTES}.")
        db = call.ctx.db
        image = await db.read(permitted, call.policy, UPLOAD, call.who, call.args["id"])
        try:
            work = partial(upload, db, self._files, image.id, call.stream, _announced(call))
            await self._files.answered("upload", image.id, work)
        except NotFound:
            raise HttpError(410, f"Image {image.id} was deleted during the upload.") from None
        return Reply(status=204)

    async def download(self, call: Call) -> Reply:
        """The bytes of an active image, or a range of them; 204 as long as there are none."""
        image = await call.ctx.db.read(images.get, call.who, call.args["id"])
        if image.status == ImageStatus.DEACTIVATED and not call.who.is_admin:
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        if image.size is None:
            return Reply(status=204)
        start, end = _range(call.headers.get("range"), image.size)
        headers = {
            "Content-Length": str(end - start),
            "Content-MD5": image.checksum or "",
            "Accept-Ranges": "bytes",
        }
        status = 200
        if "range" in call.headers:
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{image.size}"
        stream = await _begun(self._files.read(image.id, start, end - start))
        return Reply(stream, status, headers, BYTES)


async def _begun(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream, once its first bytes are there: what fails before them can still be told."""
    first = await anext(stream, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in stream:
            yield piece

    return whole()


def _announced(call: Call) -> int | None:
    """How many bytes the client says it sends."""
    text = call.headers.get("x-openstack-image-size") or call.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid("Invalid or missing image size in request headers.")
    return int(text)


def _range(text: str | None, size: int) -> tuple[int, int]:
    """The first byte asked for and the one after the last (RFC 9110, one range). 416 if there are none."""
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match and any(match.groups()):
        first, last = match.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last) + 1, size) if first and last else size
        if start < end:
            return start, end
    raise HttpError(416, f"The range '{text}' lies outside of the image.", {"Content-Range": f"bytes */{size}"})
