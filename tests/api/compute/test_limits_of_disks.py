"""A server's disks are held to the QoS specs of their volumes' type, as these are when a disk is plugged in."""

from compute_cloud import Cloud

from pumice.catalog import qos_specs
from pumice.model.scope import INTERNAL
from pumice.store import types
from pumice.store.database import Transaction
from pumice.volumes import extend


async def hold_back(cloud: Cloud, consumer: str = "front-end", **specs: str) -> str:
    """Have the volumes of the default type held back. The id of what says so."""

    def write(tx: Transaction) -> str:
        made = qos_specs.create(tx, "slow", consumer, specs)
        qos_specs.associate(tx, made.id, types.find(tx, INTERNAL, cloud.tunables.default_volume_type).id)
        return made.id

    return await cloud.db.write(write)


async def test_of_the_disk_it_boots_from_and_of_one_that_comes_later(cloud: Cloud) -> None:
    await hold_back(cloud, "both", total_bytes_sec="1000", vendor="x")
    root, more = await cloud.volume(bootable=True), await cloud.volume()
    server_id = await cloud.server(block_device_mapping_v2=[cloud.from_volume(root)])
    await cloud.attach(server_id, more)
    assert cloud.hypervisor.limits == {root: {"total_bytes_sec": 1000}, more: {"total_bytes_sec": 1000}}


async def test_what_the_back_end_is_to_keep_to_is_none_of_the_guests(cloud: Cloud) -> None:
    await hold_back(cloud, "back-end", total_bytes_sec="1000")
    volume_id = await cloud.volume()
    await cloud.attach(await cloud.server(), volume_id)
    assert cloud.hypervisor.limits[volume_id] == {}


async def test_limits_that_were_changed_hold_after_the_next_start(cloud: Cloud) -> None:
    specs_id = await hold_back(cloud, total_iops_sec="5")
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    await cloud.db.write(qos_specs.update, specs_id, None, {"total_iops_sec": "7"})
    assert cloud.hypervisor.limits[volume_id] == {"total_iops_sec": 5}
    await cloud.post(f"/servers/{server_id}/action", {"os-stop": None}, expect=202)
    await cloud.until_status(server_id, "SHUTOFF")
    await cloud.post(f"/servers/{server_id}/action", {"os-start": None}, expect=202)
    await cloud.until_status(server_id, "ACTIVE")
    assert cloud.hypervisor.limits[volume_id] == {"total_iops_sec": 7}


async def test_rates_per_gib_grow_with_a_volume_in_use(cloud: Cloud) -> None:
    await hold_back(cloud, read_iops_sec_per_gb="100")
    server_id, volume_id = await cloud.server(), await cloud.volume()
    await cloud.attach(server_id, volume_id)
    assert cloud.hypervisor.limits[volume_id] == {"read_iops_sec": 100}
    await cloud.db.write(lambda tx: extend.accept(tx, cloud.who(), volume_id, 3, cloud.tunables, in_use=True))
    await cloud.until_quiet()
    assert cloud.hypervisor.limits[volume_id] == {"read_iops_sec": 300}
