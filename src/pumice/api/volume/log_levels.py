"""What the services log (api-ref, "Set log level of services dynamically", "Get current log levels").

Cinder answers for the API alone that was asked; here every API process of every host is set, and is told.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from pumice.api.call import Call, Reply
from pumice.api.fields import Body, Text
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route, acts
from pumice.api.volume.services import RULE
from pumice.store import log_levels, services
from pumice.store.clock import now
from pumice.store.database import Transaction
from pumice.store.log_levels import API_BINARY, Logging, Service

LEVELS = ("INFO", "WARNING", "ERROR", "DEBUG")
WAIT_SECONDS = 3.0
"""How long services are given to make what was asked of them just now, before they are told as they were."""
LOOK_SECONDS = 0.05


class Which(Body):
    """Which services, and which of their loggers: those whose names begin with ``prefix``."""

    binary: Literal["cinder-scheduler", "cinder-volume", "cinder-backup", "cinder-api", "", "*"] = ""
    server: Text | None = None
    prefix: Text | None = None


def _level(level: str | None) -> str:
    if (upper := (level or "").upper()) not in LEVELS:
        raise ValueError(f"{level or ''} is not a valid log level.")
    return upper


class WhichAndLevel(Which):
    """Which processes are asked, and what they are to log."""

    level: Annotated[str | None, AfterValidator(_level)]


def _is_of(server: str | None, *names: str | None) -> bool:
    """Whether a server is meant, as Cinder's filter has it: by its name, or as one of a host's backends."""
    ends = ("#",) if "@" in (server or "") else ("#", "@")
    return not server or any(
        name == server or name.startswith(tuple(server + end for end in ends)) for name in names if name
    )


def _meant(tx: Transaction, call: Call, asked: Which) -> dict[Service, Logging | None]:
    """The services that are meant, and up, each with what it has said; the API first."""
    down_seconds = call.ctx.tunables.service_down_seconds
    said = log_levels.every(tx)
    fresh = now() - timedelta(seconds=down_seconds)
    apis = [it for it in sorted(said) if it[0] == API_BINARY and said[it].updated_at >= fresh]
    up = [row for row in services.every(tx) if services.is_up(row, down_seconds)]
    others = [
        (row["binary"], row["host"])
        for row in up
        if row["binary"].startswith("cinder-") and _is_of(asked.server, row["host"], row["cluster"])
    ]
    meant = [api for api in apis if _is_of(asked.server, api[1])] + others
    return {it: said.get(it) for it in meant if asked.binary in ("", "*", it[0])}


def _set(tx: Transaction, call: Call, asked: WhichAndLevel) -> None:
    log_levels.change(tx, _meant(tx, call, asked).keys(), asked.prefix or "", str(asked.level))


async def get(call: Call) -> Reply:
    """The level of each logger of each service, once it has done what it was asked to."""
    asked = await call.parse(Which)
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS
    while True:
        found = await call.ctx.db.read(_meant, call, asked)
        if all(it is None or it.is_settled for it in found.values()) or loop.time() >= until:
            return Reply({"log_levels": _view(found, asked.prefix or "")})
        await asyncio.sleep(LOOK_SECONDS)


def _view(found: dict[Service, Logging | None], prefix: str) -> Sequence[dict[str, Any]]:
    return [
        {
            "binary": binary,
            "host": host,
            "levels": {name: level for name, level in it.present.items() if name.startswith(prefix)},
        }
        for (binary, host), it in found.items()
        if it is not None
    ]


ROUTES = (
    Route(
        "PUT", "/os-services/set-log", acts(_set, WhichAndLevel), Rule(f"{RULE}update", ADMIN), since=(3, 32)
    ),
    Route("PUT", "/os-services/get-log", get, Rule(f"{RULE}update", ADMIN), since=(3, 32)),
)
