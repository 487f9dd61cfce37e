"""Identity with its first users."""

from collections.abc import AsyncIterator

import httpx
import pytest
from identity_cloud import PASSWORDS, Cloud, project

from pumice.api.house import House
from pumice.api.identity.service import identity_service
from pumice.identity.bootstrap import bootstrap, hashes
from pumice.identity.tokens import LocalTokens
from pumice.model.rules import Rules
from pumice.operations.endings import Endings
from pumice.store.database import Database


@pytest.fixture(scope="session")
def first_hashes() -> dict[str, str]:
    return hashes(PASSWORDS)


@pytest.fixture
async def cloud(database: Database, first_hashes: dict[str, str]) -> AsyncIterator[Cloud]:
    await database.write(bootstrap, first_hashes)
    service = identity_service(House(database, Endings(database), LocalTokens(database), Rules()))
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
