"""An image service over a database and a directory, and callers of several projects and roles."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from pumice.api.context import ApiContext
from pumice.api.image.service import image_service
from pumice.api.service import Service
from pumice.images.files import ImageFiles
from pumice.model.errors import Unauthenticated
from pumice.model.ids import ProjectId, UserId, new_id
from pumice.model.scope import Scope
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.store.database import Database

PROJECTS = {"ours": new_id(), "theirs": new_id()}

CALLERS = {
    "member": ("ours", "member"),
    "reader": ("ours", "reader"),
    "nobody": ("ours", "guest"),
    "admin": ("ours", "admin"),
    "stranger": ("theirs", "member"),
}


class Names:
    """Tokens that are the names of callers."""

    async def scope_of(self, token: str) -> Scope:
        if token not in CALLERS:
            raise Unauthenticated("The request you have made requires authentication.")
        project, role = CALLERS[token]
        return Scope(UserId(token), ProjectId(PROJECTS[project]), frozenset({role}))


@dataclass
class ImageHouse:
    """The service and what it stands on."""

    db: Database
    files: ImageFiles
    service: Service
    member: httpx.AsyncClient
    reader: httpx.AsyncClient
    nobody: httpx.AsyncClient
    admin: httpx.AsyncClient
    stranger: httpx.AsyncClient

    async def create(self, **attributes: Any) -> str:
        """An image of the member's, waiting for its bytes. Answers its id."""
        body = {"name": "one", "disk_format": "raw", "container_format": "bare", **attributes}
        answer = await self.member.post("/v2/images", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def upload(
        self, image_id: str, content: Any, caller: str = "member", **headers: str
    ) -> httpx.Response:
        """Send bytes, or an asynchronous iterator of them."""
        client: httpx.AsyncClient = getattr(self, caller)
        headers = {"Content-Type": "application/octet-stream", **headers}
        return await client.put(f"/v2/images/{image_id}/file", content=content, headers=headers)

    async def status(self, image_id: str) -> str:
        """The image's status as an administrator sees it."""
        return str((await self.admin.get(f"/v2/images/{image_id}")).json()["status"])

    def bytes_left(self) -> list[str]:
        """The names of all files that are kept."""
        return sorted(path.name for path in self.files.directory.iterdir())


@pytest.fixture
def projects() -> dict[str, str]:
    return PROJECTS


@pytest.fixture
async def open_house(tmp_path: Path, database: Database) -> AsyncIterator[Callable[..., ImageHouse]]:
    """Opens an installation; called again with the same files and database it is a restart."""
    clients: list[httpx.AsyncClient] = []

    def open_one(directory: Path = tmp_path / "images", **limits: Any) -> ImageHouse:
        files = ImageFiles(directory, **limits)
        service = image_service(ApiContext(database, Completions(database), Names(), Tunables()), files)
        transport = httpx.ASGITransport(app=service)  # type: ignore[arg-type]
        callers = {
            name: httpx.AsyncClient(
                transport=transport, base_url="http://images/image", headers={"X-Auth-Token": name}
            )
            for name in CALLERS
        }
        clients.extend(callers.values())
        return ImageHouse(database, files, service, **callers)

    yield open_one
    for client in clients:
        await client.aclose()


@pytest.fixture
async def rig(open_house: Callable[..., ImageHouse]) -> ImageHouse:
    return open_house()
