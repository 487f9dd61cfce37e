"""Everything at once: requests in no order, failures, and a worker that dies again and again."""

import asyncio
import random

import pytest
from compute_cloud import Cloud

from pumice.model.errors import PumiceError, Retryable

ACCEPTED = (200, 202, 204, 400, 404, 409)


@pytest.mark.parametrize("seed", range(3))
async def test_after_a_storm_nothing_is_stuck_and_nothing_is_left(cloud: Cloud, seed: int) -> None:
    dice = random.Random(seed)
    servers = [await cloud.server() for _ in range(3)]
    volumes = [await cloud.volume(bootable=True) for _ in range(6)]
    cloud.target.delay = cloud.hypervisor.delay = 0.01

    async def one_request() -> None:
        await asyncio.sleep(dice.random())
        server, volume = dice.choice(servers), dice.choice(volumes)
        path = f"/servers/{server}/os-volume_attachments"
        attach = {"volumeAttachment": {"volumeId": volume, "delete_on_termination": dice.random() < 0.2}}
        method, where, body = dice.choice(
            [
                ("POST", path, attach),
                ("POST", path, attach),
                ("DELETE", f"{path}/{volume}", None),
                ("POST", f"/servers/{server}/action", {"os-stop": None}),
                ("POST", f"/servers/{server}/action", {"os-start": None}),
                ("POST", f"/servers/{server}/action", {"reboot": {"type": "HARD"}}),
                ("DELETE", f"/servers/{server}", None),
                ("POST", "/servers", cloud.body(block_device_mapping_v2=[cloud.from_volume(volume)])),
            ]
        )
        answer = await cloud.ask(method, where, body)
        assert answer.status_code in ACCEPTED, answer.text
        if where == "/servers" and answer.status_code == 202:
            servers.append(answer.json()["server"]["id"])

    async def mischief() -> None:
        for life in range(6):
            await asyncio.sleep(0.15)
            cloud.hypervisor.fail_next[dice.choice(["attach", "detach", "start"])] = PumiceError("no")
            cloud.target.fail_next[dice.choice(["grant", "revoke"])] = Retryable("not now")
            await cloud.kill()
            cloud.start(f"life-{life}")

    await asyncio.gather(mischief(), *(one_request() for _ in range(120)))
    cloud.hypervisor.fail_next.clear()
    cloud.target.fail_next.clear()
    await cloud.until_quiet()
    await cloud.check_invariants()
    for server in servers:
        await cloud.ask("DELETE", f"/servers/{server}")
    await cloud.until_quiet()
    assert (await cloud.get("/servers"))["servers"] == []
    assert {await cloud.volume_status(volume) for volume in volumes} <= {"available", None}
    assert await cloud.hypervisor.machines() == frozenset()
    assert await cloud.target.exports() == {}
    await cloud.check_invariants()
