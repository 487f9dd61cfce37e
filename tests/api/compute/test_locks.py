"""Who locked a server, why, and who may unlock it."""

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
