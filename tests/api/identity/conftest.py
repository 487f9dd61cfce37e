"""Identity with its first users."""

from collections.abc import AsyncIterator

import httpx
import pytest
from identity_cloud import PASSWORDS, Cloud, project

from pumice.api.context import ApiContext
from pumice.api.identity.service import identity_service
from pumice.identity.bootstrap import bootstrap, hashes
from pumice.identity.tokens import LocalTokens
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.store.database import Database


@pytest.fixture(scope="session")
def first_hashes() -> dict[str, str]:
    return hashes(PASSWORDS)


@pytest.fixture
async def cloud(database: Database, first_hashes: dict[str, str]) -> AsyncIterator[Cloud]:
    await database.write(bootstrap, first_hashes)
    service = identity_service(ApiContext(database, Completions(database), LocalTokens(database), Tunables()))
    transport = httpx.ASGITransport(app=service)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud/identity/v3") as http:
        yield Cloud(database, service, http)


@pytest.fixture
async def admin(cloud: Cloud) -> str:
    """A token of the administrator."""
    return await cloud.token("admin", project("admin"))


@pytest.fixture
async def member(cloud: Cloud) -> str:
    """A token of an ordinary member."""
    return await cloud.token("demo", project("demo"))
