"""Who locked a server, why, and who may unlock it."""

from typing import Any

import pytest
from answers import name_of
from compute_cloud import CALLERS, Cloud


async def locked(cloud: Cloud, server_id: str, caller: str = "member") -> tuple[bool, str | None]:
    server = (await cloud.client(caller).get(f"/servers/{server_id}")).json()["server"]
    return server["locked"], server["locked_reason"]


async def act(cloud: Cloud, server_id: str, caller: str, action: str, said: object = None) -> int:
    path = f"/servers/{server_id}/action"
    return (await cloud.client(caller).post(path, json={action: said})).status_code


async def test_a_member_does_not_unlock_what_an_administrator_locked(cloud: Cloud) -> None:
    server = await cloud.server()
    assert "admin" in CALLERS["admin"]
    assert await act(cloud, server, "admin", "lock", {"locked_reason": "under repair"}) == 202
    assert await act(cloud, server, "member", "unlock") == 403
    assert await act(cloud, server, "member", "lock", {"locked_reason": "mine"}) == 202, "it is locked already"
    assert await act(cloud, server, "member", "unlock") == 403
    assert await locked(cloud, server) == (True, "under repair")
    assert await act(cloud, server, "member", "os-stop") == 409
    assert await act(cloud, server, "admin", "unlock") == 202
    assert await locked(cloud, server) == (False, None)
    assert await act(cloud, server, "member", "lock", {"locked_reason": "mine"}) == 202
    assert await locked(cloud, server) == (True, "mine")
    assert await act(cloud, server, "member", "unlock") == 202
    assert await locked(cloud, server) == (False, None)


async def test_an_administrator_takes_a_members_lock_over(cloud: Cloud) -> None:
    server = await cloud.server()
    assert await act(cloud, server, "member", "lock") == 202
    assert await act(cloud, server, "admin", "lock", {"locked_reason": "ours"}) == 202
    assert await act(cloud, server, "member", "unlock") == 403
    assert await act(cloud, server, "stranger", "unlock") == 404
    assert await locked(cloud, server) == (True, "ours")


UNLOCKED = {
    "PUT /v2.1/servers/{id}",
    "POST /v2.1/servers/{id}/action lock",
    "POST /v2.1/servers/{id}/action unlock",
    "POST /v2.1/servers/{id}/action os-resetState",
    "POST /v2.1/servers/{id}/action os-getConsoleOutput",
    "POST /v2.1/servers/{id}/action createImage",
    "PUT /v2.1/servers/{id}/os-volume_attachments/{volume_id}",
    "PUT /v2.1/servers/{id}/tags",
    "DELETE /v2.1/servers/{id}/tags",
    "PUT /v2.1/servers/{id}/tags/{tag}",
    "DELETE /v2.1/servers/{id}/tags/{tag}",
}
"""What Nova lets through: its methods without ``check_instance_lock``."""


async def test_whatever_changes_a_locked_server_is_refused(cloud: Cloud) -> None:
    server, attached, free = await cloud.server(metadata={"k": "v"}), await cloud.volume(), await cloud.volume()
    await cloud.attach(server, attached)
    await cloud.until_quiet()
    assert await act(cloud, server, "admin", "lock") == 202
    bodies: dict[str, Any] = {
        "reboot": {"type": "SOFT"},
        "os-volume_attachments": {"volumeAttachment": {"volumeId": free}},
        "metadata": {"metadata": {"k": "v"}},
        "{key}": {"meta": {"k": "v"}},
    }
    let_through = set()
    for route in cloud.service.table.routes:
        name = name_of(route)
        if route.method == "GET" or "/servers/{id}" not in name or name in UNLOCKED:
            let_through.add(name)
            continue
        path = route.path.removeprefix("/v2.1").replace("{id}", server).replace("{volume_id}", attached)
        said = bodies.get(route.action or route.path.rpartition("/")[2])
        body = {route.action: said} if route.action else said
        answer = await cloud.ask(route.method, path.replace("{key}", "k"), body)
        assert (answer.status_code, "is locked" in answer.text) == (409, True), (name, answer.text)
    assert let_through >= UNLOCKED
    assert (await cloud.get(f"/servers/{server}/metadata"))["metadata"] == {"k": "v"}


async def test_an_administrator_changes_what_is_locked(cloud: Cloud) -> None:
    server = await cloud.server()
    assert await act(cloud, server, "member", "lock") == 202
    answer = await cloud.ask("PUT", f"/servers/{server}/metadata", {"metadata": {"k": "v"}}, caller="admin")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "doing"),
    [
        ("metadata", {"metadata": {"k": "v"}}, "update metadata"),
        ("metadata/k", {"meta": {"k": "v"}}, "update metadata"),
        ("tags", {"tags": ["a"]}, "update tags"),
        ("tags/a", None, "update tag"),
    ],
)
async def test_what_is_not_yet_or_no_more_a_server_takes_no_words(
    cloud: Cloud, path: str, body: Any, doing: str
) -> None:
    """Nova's ``check_instance_state`` of metadata, and ``_check_instance_in_valid_state`` of tags."""
    server = await cloud.server()
    assert await act(cloud, server, "admin", "os-resetState", {"state": "error"}) == 202
    answer = await cloud.ask("PUT", f"/servers/{server}/{path}", body)
    assert answer.status_code == 409
    told = answer.json()["conflictingRequest"]["message"]
    assert told == f"Cannot '{doing}' instance {server} while it is in vm_state error"


async def test_a_state_that_forbids_is_told_by_its_word_in_vm_state(cloud: Cloud) -> None:
    server = await cloud.server()
    assert await act(cloud, server, "member", "os-stop") == 202
    await cloud.until_status(server, "SHUTOFF")
    shown = (await cloud.get(f"/servers/{server}"))["server"]["OS-EXT-STS:vm_state"]
    answer = await cloud.ask("POST", f"/servers/{server}/action", {"os-stop": None})
    told = answer.json()["conflictingRequest"]["message"]
    assert (shown, told) == ("stopped", f"Cannot 'stop' instance {server} while it is in vm_state stopped")
