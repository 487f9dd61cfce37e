"""What a type says of its volumes' sizes and zones is kept, and an image may name the type of its volumes."""

from typing import Any

import pytest
import sqlalchemy as sa
from volume_cloud import PROJECT, Cloud

from databases import ON_SQLITE
from pumice.model.ids import new_id
from pumice.store import tables
from pumice.store.columns import now
from pumice.store.database import Transaction

pytestmark = ON_SQLITE


async def kind(cloud: Cloud, name: str, **specs: str) -> None:
    asked: dict[str, Any] = {"name": name, "extra_specs": {key.replace("__", ":"): specs[key] for key in specs}}
    answer = await cloud.call("POST", "/types", {"volume_type": asked}, who="admin")
    assert answer.status_code == 200, answer.text


async def test_a_types_limits_hold_for_new_volumes_and_for_extended_ones(cloud: Cloud) -> None:
    await kind(cloud, "mid", provisioning__min_vol_size="2", provisioning__max_vol_size="4")
    for size, status in ((1, 400), (5, 400)):
        answer = await cloud.call("POST", "/volumes", {"volume": {"size": size, "volume_type": "mid"}})
        assert answer.status_code == status, answer.text
        assert "for volume type 'mid'" in answer.text
    volume = await cloud.make(2, volume_type="mid")
    assert (await cloud.act(volume["id"], "os-extend", {"new_size": 5})).status_code == 400
    assert (await cloud.act(volume["id"], "os-extend", {"new_size": 4})).status_code == 202


async def test_a_types_zones_hold(cloud: Cloud) -> None:
    await kind(cloud, "here", RESKEY__availability_zones="nova, other")
    await kind(cloud, "there", RESKEY__availability_zones="elsewhere")
    assert (await cloud.make(volume_type="here"))["availability_zone"] == "nova"
    wanted = {"size": 1, "volume_type": "there", "availability_zone": "nova"}
    answer = await cloud.call("POST", "/volumes", {"volume": wanted})
    assert (answer.status_code, "elsewhere" in answer.text) == (400, True)
    answer = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "there"}})
    assert (answer.status_code, "elsewhere" in answer.text) == (400, True)
    await kind(cloud, "either", RESKEY__availability_zones="elsewhere, nova")
    assert (await cloud.make(volume_type="either"))["availability_zone"] == "nova"


async def test_an_image_names_the_type_of_volumes_made_from_it(cloud: Cloud) -> None:
    await kind(cloud, "fast")
    image_id = new_id()

    def add(tx: Transaction) -> None:
        row: dict[str, Any] = {
            "id": image_id, "owner": PROJECT, "name": "i", "status": "active", "visibility": "private",
            "disk_format": "raw", "container_format": "bare", "size": 1024**2, "virtual_size": 1024**2,
            "checksum": "c", "min_disk": 1, "min_ram": 0, "protected": False, "os_hidden": False, "tags": [],
            "properties": {"cinder_img_volume_type": "fast"}, "created_at": now(), "updated_at": now(),
        }  # fmt: skip
        tx.execute(sa.insert(tables.images), [row])

    await cloud.db.write(add)
    for asked, told in ((None, "fast"), ("__DEFAULT__", "__DEFAULT__")):
        wanted = {"size": 1, "imageRef": image_id, "volume_type": asked}
        made = await cloud.call("POST", "/volumes", {"volume": wanted})
        assert made.json()["volume"]["volume_type"] == told


async def test_image_metadata_may_be_as_long_as_an_images(cloud: Cloud) -> None:
    volume = await cloud.make()
    for length, status in ((65_535, 200), (65_536, 400)):
        body = {"metadata": {"long": "x" * length}}
        assert (await cloud.act(volume["id"], "os-set_image_metadata", body)).status_code == status


@pytest.mark.parametrize("name", ["", " ", "\u00a0\t"])
async def test_the_name_of_a_type_says_something(cloud: Cloud, name: str) -> None:
    refused = await cloud.call("POST", "/types", {"volume_type": {"name": name}}, who="admin")
    assert refused.status_code == 400
    made = await cloud.call("POST", "/types", {"volume_type": {"name": "gold"}}, who="admin")
    path = f"/types/{made.json()['volume_type']['id']}"
    assert (await cloud.call("PUT", path, {"volume_type": {"name": name}}, who="admin")).status_code == 400


TOGETHER = {"multiattach": "<is> True", "cacheable": "<is> True"}


@pytest.mark.parametrize(
    ("specs", "told"),
    [
        ({"provisioning:min_vol_size": "x"}, "provisioning:min_vol_size"),
        ({"provisioning:max_vol_size": "1.5"}, "provisioning:max_vol_size"),
        ({"provisioning:max_vol_size": ""}, "provisioning:max_vol_size"),
        ({"provisioning:max_vol_size": "-1"}, "provisioning:max_vol_size"),
        ({"provisioning:max_vol_size": "0"}, "at least 1 and at most 0"),
        ({"provisioning:max_vol_size": "3", "provisioning:min_vol_size": "5"}, "at least 5 and at most 3"),
        (TOGETHER, "cacheable cannot be set with multiattach."),
    ],
)
async def test_a_word_of_a_type_that_would_have_no_effect_is_refused(
    cloud: Cloud, specs: dict[str, str], told: str
) -> None:
    wanted = {"volume_type": {"name": "odd", "extra_specs": specs}}
    answer = await cloud.call("POST", "/types", wanted, who="admin")
    assert (answer.status_code, told in answer.text) == (400, True)
    made = await cloud.call("POST", "/types", {"volume_type": {"name": "odd"}}, who="admin")
    path = f"/types/{made.json()['volume_type']['id']}/extra_specs"
    answer = await cloud.call("POST", path, {"extra_specs": specs}, who="admin")
    assert (answer.status_code, told in answer.text) == (400, True)
    for key, value in sorted(specs.items()):
        answer = await cloud.call("PUT", f"{path}/{key}", {key: value}, who="admin")
    assert (answer.status_code, told in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("word", "is_so"),
    [("<is> True", True), ("<is>  yes", True), ("True", False), ("yes", False), ("<is>", False)],
)
async def test_a_type_is_multiattach_exactly_if_it_says_so_as_cinder_reads_it(
    cloud: Cloud, word: str, is_so: bool
) -> None:
    await kind(cloud, "many", multiattach=word)
    made = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "many"}})
    assert made.json()["volume"]["multiattach"] is is_so


async def test_an_encrypted_volume_is_for_one_guest(cloud: Cloud) -> None:
    await kind(cloud, "both", multiattach="<is> True")
    [both] = [
        one for one in (await cloud.call("GET", "/types")).json()["volume_types"] if one["name"] == "both"
    ]
    luks = {"encryption": {"provider": "luks", "control_location": "front-end"}}
    assert (await cloud.call("POST", f"/types/{both['id']}/encryption", luks, who="admin")).status_code == 200
    answer = await cloud.call("POST", "/volumes", {"volume": {"size": 1, "volume_type": "both"}})
    assert answer.status_code == 400
    told = answer.json()["badRequest"]["message"]
    assert told == "Invalid volume: Multiattach cannot be used with encrypted volumes."
