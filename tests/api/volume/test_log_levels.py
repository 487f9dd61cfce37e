"""Log levels by the API: which services and loggers are meant, and what is answered (Cinder 29)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from volume_cloud import HOST, Cloud

from databases import ON_SQLITE
from pumice.host import loggers
from pumice.loops import every, hosts, rows
from pumice.loops.log_levels import LogLevels
from pumice.store import hosts as host_rows
from pumice.store import log_levels, services
from pumice.store.services import Heartbeat

pytestmark = ON_SQLITE

EVERY, HOSTS, ROWS = (room.__name__ for room in (every, hosts, rows))
WHO = [("cinder-api", "box"), ("cinder-scheduler", "box"), ("cinder-volume", HOST), ("cinder-backup", "box")]


@pytest.fixture
async def listening(cloud: Cloud) -> AsyncIterator[LogLevels]:
    levels = LogLevels(cloud.db, WHO)
    await levels.look()
    keeping = asyncio.create_task(levels.keep())
    yield levels
    keeping.cancel()
    loggers.restore()


async def put(cloud: Cloud, what: str, body: Any, status: int, version: str = "3.32") -> Any:
    answer = await cloud.call("PUT", f"/os-services/{what}-log", body, who="admin", version=version)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def told(cloud: Cloud, **asked: str) -> dict[tuple[str, str], dict[str, str]]:
    """The levels by service."""
    answer = await put(cloud, "get", asked, 200)
    return {(it["binary"], it["host"]): it["levels"] for it in answer["log_levels"]}


@pytest.mark.usefixtures("listening")
async def test_what_is_set_is_told_by_the_next_question(cloud: Cloud) -> None:
    before = loggers.levels()
    assert await put(cloud, "set", {"level": "debug", "prefix": "pumice.loops"}, 202) is None
    found = await told(cloud)
    assert list(found) == [WHO[0], *sorted(WHO[1:])]
    for levels in found.values():
        assert levels[ROWS] == levels[EVERY] == "DEBUG"
        assert {name for name in before if levels[name] != before[name]} == {
            name for name in before if name.startswith("pumice.loops")
        }
    assert loggers.levels()[EVERY] == "DEBUG"
    loops = (await told(cloud, binary="cinder-volume", prefix="pumice.loops."))[WHO[2]]
    assert loops and all(name.startswith("pumice.loops.") for name in loops)


@pytest.mark.usefixtures("listening")
async def test_the_later_change_counts_where_both_fit(cloud: Cloud) -> None:
    for level, prefix in (("ERROR", EVERY), ("Warning", ""), ("INFO", HOSTS)):
        await put(cloud, "set", {"level": level, "prefix": prefix, "binary": "*", "server": None}, 202)
    levels = (await told(cloud, binary="cinder-api"))[WHO[0]]
    assert [levels[name] for name in (EVERY, HOSTS, ROWS)] == ["WARNING", "INFO", "WARNING"]
    for it in (await cloud.db.read(log_levels.every)).values():
        assert [prefix for _, prefix, _ in it.wanted] == ["", HOSTS]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"server": "box"}, WHO),
        ({"server": HOST}, [WHO[2]]),
        ({"server": "box@fake#fake"}, []),
        ({"server": "bo"}, []),
        ({"server": "elsewhere"}, []),
        ({"binary": "cinder-backup"}, [WHO[3]]),
        ({"binary": "cinder-api", "server": HOST}, []),
        ({"binary": "", "server": ""}, WHO),
    ],
)
@pytest.mark.usefixtures("listening")
async def test_services_are_meant_by_binary_and_server(cloud: Cloud, asked: Any, meant: Any) -> None:
    assert sorted(await told(cloud, **asked)) == sorted(meant)
    await put(cloud, "set", {**asked, "level": "INFO", "prefix": "nobody's"}, 202)
    found = await cloud.db.read(log_levels.every)
    assert sorted(it for it, logged in found.items() if logged.changes) == sorted(meant)


async def test_a_cluster_means_its_members(cloud: Cloud, listening: LogLevels) -> None:
    member = ("cinder-volume", "one@shared")
    await cloud.db.write(services.heartbeat, [Heartbeat(*member, "nova", {}, "both@shared")])
    listening.who = [*WHO, member]
    await listening.look()
    assert list(await told(cloud, server="both@shared")) == [member]


@pytest.mark.parametrize(
    ("what", "body", "words"),
    [
        ("set", {"level": "loud"}, "loud is not a valid log level."),
        ("set", {"level": None}, " is not a valid log level."),
        ("set", {}, "'level' is a required property"),
        ("set", {"level": 10}, "level"),
        ("set", {"level": "INFO", "binary": "nova-compute"}, "binary"),
        ("get", {"binary": None}, "binary"),
        ("get", {"prefix": "x" * 256}, "prefix"),
        ("get", {"level": "INFO"}, "Additional properties are not allowed"),
        ("get", [], "object"),
    ],
)
async def test_what_makes_no_sense_is_refused(cloud: Cloud, what: str, body: Any, words: str) -> None:
    refused = await put(cloud, what, body, 400)
    assert words in refused["badRequest"]["message"]


async def test_before_its_microversion_there_is_no_such_thing(cloud: Cloud) -> None:
    for what in ("get", "set"):
        await put(cloud, what, {"level": "INFO"}, 404, version="3.31")


async def test_who_begins_anew_logs_what_its_settings_say(cloud: Cloud) -> None:
    first = LogLevels(cloud.db, WHO)
    await first.look()
    await put(cloud, "set", {"level": "debug", "prefix": EVERY}, 202)
    before = loggers.levels()[EVERY]
    await LogLevels(cloud.db, WHO).look()
    assert (await told(cloud))[WHO[1]][EVERY] == before != "DEBUG"
    await first.look()
    assert (await told(cloud))[WHO[1]][EVERY] == "DEBUG"
    loggers.restore()


async def test_nothing_is_written_while_nothing_changes(cloud: Cloud, listening: LogLevels) -> None:
    await cloud.stop()  # its runner looks at the same time
    await listening.look()
    cloud.statements.clear()
    await listening.look()
    assert [it.split()[0] for it in cloud.statements] == ["BEGIN", "UPDATE"]


@pytest.mark.usefixtures("listening")
async def test_what_a_host_logged_goes_with_the_host(cloud: Cloud) -> None:
    await cloud.db.write(host_rows.forget, "box")
    assert not await cloud.db.read(log_levels.every)
