"""Two that want one volume at the same moment, through every door there is.

Who attaches by Block Storage is another service, with servers that Pumice does not know.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httpx
from tests.failures.cloud import CLIENTS, Cloud
from tests.failures.row import Completion, Row
from tests.failures.volume_process import connector
from tests.pumice_installation import ATTACHMENTS, SERVERS, VOLUMES

from pumice.model.ids import new_id


@dataclass(frozen=True, slots=True)
class Door:
    """A way to attach a volume to a server, and to detach it again; neither waits for the end."""

    attach: Callable[[Cloud, str, str], httpx.Response]
    detach: Callable[[Cloud, str, str], httpx.Response]


def by_action(cloud: Cloud, server: str, volume: str) -> httpx.Response:
    body = {"os-attach": {"instance_uuid": new_id(), "mountpoint": "/dev/vdb"}}
    return cloud.http.post(f"{VOLUMES}/{volume}/action", json=body)


def by_attachment(cloud: Cloud, server: str, volume: str) -> httpx.Response:
    body = {"volume_uuid": volume, "instance_uuid": new_id(), "connector": connector(1)}
    return cloud.http.post(ATTACHMENTS, json={"attachment": body})


def by_compute(cloud: Cloud, server: str, volume: str) -> httpx.Response:
    body = {"volumeAttachment": {"volumeId": volume}}
    return cloud.http.post(f"{SERVERS}/{server}/os-volume_attachments", json=body)


def detach(cloud: Cloud, server: str, volume: str) -> httpx.Response:
    """By Block Storage, as the service that attached it there does."""
    [link] = cloud.call("GET", f"{ATTACHMENTS}?volume_id={volume}")["attachments"]
    headers = {"X-Service-Token": cloud.token("pumice", "service")}
    return cloud.http.delete(f"{ATTACHMENTS}/{link['id']}", headers=headers)


def detach_by_compute(cloud: Cloud, server: str, volume: str) -> httpx.Response:
    cloud.becomes(f"{VOLUMES}/{volume}", "volume", "in-use")
    return cloud.http.delete(f"{SERVERS}/{server}/os-volume_attachments/{volume}")


DOORS = {
    "os-attach": Door(by_action, detach),
    "attachments": Door(by_attachment, detach),
    "Compute": Door(by_compute, detach_by_compute),
}


def two_attaches(cloud: Cloud, rounds: int) -> Completion:
    """As many rounds for each door, and for each two doors against one another; some volumes at a time."""
    cloud.slow_down(0)
    servers = cloud.servers(2)
    volumes = cloud.volumes(min(CLIENTS // 2, rounds))
    won: dict[str, Counter[int]] = {}
    for one, other in itertools.combinations_with_replacement(DOORS, 2):
        shares = [range(n, rounds, len(volumes)) for n in range(len(volumes))]
        play = partial(_rounds, cloud, (DOORS[one], DOORS[other]), servers)
        wins = itertools.chain.from_iterable(cloud.clients.map(play, volumes, map(len, shares)))
        won[one if one == other else f"{one} against {other}"] = Counter(wins)
    words = [
        f"{doors}: {winners} won {times} times"
        for doors, wins in won.items()
        for winners, times in wins.items()
    ]
    kept = all(wins == {1: rounds} for wins in won.values())
    doors = ", ".join(won)
    return Completion(f"exactly one won, {rounds} of {rounds}: {doors}" if kept else "; ".join(words), kept)


def _rounds(cloud: Cloud, doors: tuple[Door, Door], servers: list[str], volume: str, number: int) -> list[int]:
    """How many of two attaches of one volume succeeded, in each of so many rounds."""
    wins = []
    for _ in range(number):
        answers = cloud.at_once(
            *(partial(door.attach, cloud, server, volume) for door, server in zip(doors, servers, strict=True))
        )
        winners = [n for n, answer in enumerate(answers) if answer.status_code < 300]
        wins.append(len(winners))
        for winner in winners:
            answer = doors[winner].detach(cloud, servers[winner], volume)
            assert answer.status_code < 300, answer.text
        cloud.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    return wins


def attach_against_delete(cloud: Cloud, races: int) -> Completion:
    cloud.slow_down(0)
    servers = cloud.servers(4)
    volumes = cloud.volumes(races)
    doors = itertools.cycle(DOORS.values())

    def race(number: int, volume: str, door: Door) -> str:
        attach = partial(door.attach, cloud, servers[number % len(servers)], volume)
        attached, deleted = cloud.at_once(attach, partial(cloud.http.delete, f"{VOLUMES}/{volume}"))
        winners = (attached.status_code < 300, deleted.status_code < 300)
        return {(True, False): "attached", (False, True): "deleted", (True, True): "both"}.get(
            winners, "neither"
        )

    won = Counter(cloud.clients.map(race, range(races), volumes, doors))
    cloud.settle()
    left = cloud.ended(VOLUMES, volumes)
    words = (
        f"{won['attached']} attached, {won['deleted']} deleted, {won['both']} both, {won['neither']} neither"
    )
    kept = won["both"] == won["neither"] == 0 and left["gone"] == won["deleted"]
    return Completion(words, kept)


ROWS = (
    Row(
        "two attaches of one volume at once, 50 rounds, through each door",
        "os-attach: both won 50 times",
        "exactly one wins, 50 of 50",
        two_attaches,
        {"rounds": 50},
        {"rounds": 4},
    ),
    Row(
        "attach against delete, 200 races",
        "",
        "never both",
        attach_against_delete,
        {"races": 200},
        {"races": 24},
    ),
)
