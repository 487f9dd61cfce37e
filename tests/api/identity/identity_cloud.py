"""Identity as its clients see it: the real service, a client of it, and the words to log in with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from pumice.api.service import Service
from pumice.store.database import Database

PASSWORDS = {"admin": "secret-a", "demo": "secret-d", "pumice": "secret-p"}
DEFAULT = {"id": "default"}


def login(user: str, password: str, scope: Any = None) -> dict[str, Any]:
    """The body that logs in a user of the default domain."""
    who = {"name": user, "domain": DEFAULT, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": who}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def project(name: str) -> dict[str, Any]:
    """The scope of a project of the default domain."""
    return {"project": {"name": name, "domain": DEFAULT}}


@dataclass
class Cloud:
    """The service and a client of it."""

    db: Database
    service: Service
    http: httpx.AsyncClient

    async def token(self, user: str, scope: Any, password: str | None = None) -> str:
        """Log a user in."""
        body = login(user, password or PASSWORDS[user], scope)
        answer = await self.http.post("/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["X-Subject-Token"]

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request."""
        said = {**({"X-Auth-Token": token} if token else {}), **(headers or {})}
        return await self.http.request(method, path, json=body, headers=said)
