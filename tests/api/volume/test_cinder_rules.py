"""Cinder's policy rules: each has its name and default here, and a policy file made for Cinder works.

``cinder_rules.txt`` has every rule of Cinder 29: its name, who may by default, and how it was called before.
"""

from pathlib import Path
from typing import Any

import pytest
from raw_image import raw_image
from volume_cloud import CONNECTOR, PROJECT, Cloud

from databases import ON_SQLITE
from pumice.api.policy import ADMIN, ANYBODY, MEMBER, READER
from pumice.api.routing import checks_of
from pumice.api.volume.rules import WORDS
from pumice.api.volume.service import volume_routes
from pumice.model.image import Visibility
from pumice.store import images

RULES = [line.split() for line in Path(__file__).with_name("cinder_rules.txt").read_text().splitlines()]
CHECKS = {"admin": ADMIN, "member": MEMBER, "reader": READER}
NOT_ASKED = {
    "group:update_group_snapshot": "Cinder 29 has no request that changes a group snapshot",
    "volume:update_volume_admin_metadata": "Cinder asks it of itself, as an administrator",
    "volume_extension:volume_type_encryption": "it is named by no request and no other rule",
}


def test_every_rule_of_cinder_has_its_name_and_its_default() -> None:
    declared = checks_of(volume_routes())
    missing = {name for name, *_ in RULES} - declared.keys()
    assert missing == NOT_ASKED.keys()
    for name, who, *_ in RULES:
        assert declared.get(name, CHECKS[who]) == CHECKS[who], name
    assert {check for name, check in declared.items() if name not in {name for name, *_ in RULES}} == {ANYBODY}


def test_every_former_name_counts() -> None:
    assert WORDS.former == {name: former[0] for name, _, *former in RULES if former}


def ruled(cloud: Cloud, tmp_path: Path, text: str) -> None:
    """From here on these are the lines of the policy file."""
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    cloud.service.policy = cloud.service.policy.reread(file)


@ON_SQLITE
async def test_a_file_refers_to_what_cinders_defaults_are_made_of(cloud: Cloud, tmp_path: Path) -> None:
    ruled(
        cloud,
        tmp_path,
        """
"volume:create": "rule:admin_or_owner"
"volume:get": "rule:admin_api"
"volume:get_all": "rule:xena_system_admin_or_project_member"
"volume:get_all_snapshots": "role:admin and is_admin_project:True"
"backup:get_all": "rule:nobody_has_ever_said"
""",
    )
    volume = {"volume": {"size": 1}}
    assert (await cloud.call("POST", "/volumes", volume, who="nobody")).status_code == 202
    for path, least in (("/snapshots", "admin"), ("/volumes", "member"), ("/backups", None)):
        for who in ("reader", "member", "admin"):
            reply = await cloud.call("GET", path, who=who)
            may = least is not None and ["reader", "member", "admin"].index(who) >= (
                1 if least == "member" else 2
            )
            assert reply.status_code == (200 if may else 403), (path, who)


@ON_SQLITE
async def test_who_changes_what_defaults_are_made_of_changes_them_all(cloud: Cloud, tmp_path: Path) -> None:
    assert (await cloud.call("GET", "/os-services", who="manager")).status_code == 403
    ruled(cloud, tmp_path, '"admin_api": "role:admin or role:manager"\n')
    for path in ("/os-services", "/qos-specs", "/scheduler-stats/get_pools"):
        assert (await cloud.call("GET", path, who="manager")).status_code == 200
        assert (await cloud.call("GET", path, who="member")).status_code == 403


@ON_SQLITE
async def test_the_file_says_who_is_an_administrator(cloud: Cloud, tmp_path: Path) -> None:
    volume = (await cloud.make(who="other"))["id"]

    async def sees_all(who: str) -> bool:
        shown = (await cloud.call("GET", "/volumes?all_tenants=1", who=who)).json()["volumes"]
        return volume in {one["id"] for one in shown}

    assert (await sees_all("admin"), await sees_all("manager")) == (True, False)
    ruled(cloud, tmp_path, '"context_is_admin": "role:manager and not role:admin"\n')
    assert [await sees_all(who) for who in ("admin", "manager", "member")] == [False, True, False]
    assert (await cloud.call("GET", "/os-services", who="manager")).status_code == 200
    assert (await cloud.call("GET", "/os-services", who="member")).status_code == 403
    ruled(cloud, tmp_path, '"volume:get": "role:admin"\n')
    assert (await sees_all("admin"), await sees_all("manager")) == (True, False)


@ON_SQLITE
async def test_a_former_name_counts_until_the_newer_is_said(cloud: Cloud, tmp_path: Path) -> None:
    older = '"volume_extension:types_manage": "role:member"\n'
    ruled(cloud, tmp_path, older)
    asked = {"volume_type": {"name": "mine"}}
    assert (await cloud.call("POST", "/types", asked, who="member")).status_code == 200
    ruled(cloud, tmp_path, older + '"volume_extension:type_create": "role:admin"\n')
    assert (await cloud.call("POST", "/types", asked, who="member")).status_code == 403


@ON_SQLITE
@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ("volume_extension:volume_host_attribute", "volume", {"os-vol-host-attr:host"}),
        ("volume_extension:volume_tenant_attribute", "volume", {"os-vol-tenant-attr:tenant_id"}),
        (
            "volume_extension:volume_mig_status_attribute",
            "volume",
            {"os-vol-mig-status-attr:migstat", "os-vol-mig-status-attr:name_id"},
        ),
        ("volume_extension:volume_image_metadata:show", "volume", {"volume_image_metadata"}),
        (
            "volume_extension:extended_snapshot_attributes",
            "snapshot",
            {
                "os-extended-snapshot-attributes:progress",
                "os-extended-snapshot-attributes:project_id",
            },
        ),
    ],
)
async def test_a_rule_says_who_sees_a_part(
    cloud: Cloud, tmp_path: Path, rule: str, kind: str, words: set[str]
) -> None:
    cloud.client.event_hooks = {}  # Tempest wants them all
    volume = (await cloud.make())["id"]
    await cloud.act(volume, "os-set_image_metadata", {"metadata": {"k": "v"}})
    asked = {"snapshot": {"volume_id": volume}}
    snapshot = (await cloud.call("POST", "/snapshots", asked)).json()["snapshot"]["id"]
    one = {"volume": volume, "snapshot": snapshot}[kind]
    await cloud.until(one, "available", kind=kind)
    for check, seen in (("!", set()), ("role:member", words)):
        ruled(cloud, tmp_path, f'"{rule}": "{check}"\n')
        shown = (await cloud.call("GET", f"/{kind}s/{one}")).json()[kind]
        listed = (await cloud.call("GET", f"/{kind}s/detail")).json()[f"{kind}s"][0]
        assert shown.keys() & words == listed.keys() & words == seen


async def refused(cloud: Cloud, rule: str, method: str, path: str, body: Any) -> None:
    reply = await cloud.call(method, path, body)
    assert reply.status_code == 403, reply.text
    assert reply.json()["forbidden"]["message"] == f"Policy doesn't allow {rule} to be performed."


@ON_SQLITE
async def test_a_rule_guards_a_part_of_what_a_request_does(cloud: Cloud, tmp_path: Path) -> None:
    specs = {"multiattach": "<is> True"}
    await cloud.call("POST", "/types", {"volume_type": {"name": "many", "extra_specs": specs}}, who="admin")
    image = raw_image(PROJECT, Visibility.PRIVATE)
    await cloud.db.write(images.insert, image)
    plain, many = (await cloud.make())["id"], (await cloud.make(volume_type="many"))["id"]
    await cloud.act(many, "os-set_bootable", {"bootable": True})
    for volume in (plain, many):
        asked = {"attachment": {"volume_uuid": volume, "connector": CONNECTOR}}
        made = (await cloud.call("POST", "/attachments", asked)).json()["attachment"]["id"]
        assert (await cloud.call("POST", f"/attachments/{made}/action", {"os-complete": {}})).status_code == 204
    free = (await cloud.make())["id"]
    another = {"attachment": {"volume_uuid": many}}
    told = {
        "volume:create_from_image": ("/volumes", {"volume": {"size": 1, "imageRef": image.id}}),
        "volume:multiattach": ("/volumes", {"volume": {"size": 1, "volume_type": "many"}}),
        "volume:extend_attached_volume": (f"/volumes/{plain}/action", {"os-extend": {"new_size": 2}}),
        "volume:multiattach_bootable_volume": ("/attachments", another),
    }
    ruled(cloud, tmp_path, "".join(f'"{rule}": "role:admin"\n' for rule in told))
    for rule, (path, body) in told.items():
        await refused(cloud, rule, "POST", path, body)
    retyped = {"os-retype": {"new_type": "many", "migration_policy": "never"}}
    await refused(cloud, "volume:multiattach", "POST", f"/volumes/{free}/action", retyped)
    kept = (await cloud.call("GET", f"/volumes/{free}")).json()["volume"]
    assert (kept["volume_type"], kept["multiattach"]) == ("__DEFAULT__", False)
    listed = (await cloud.call("GET", "/volumes")).json()["volumes"]
    assert {one["id"] for one in listed} == {plain, many, free}
    ruled(cloud, tmp_path, "{}\n")
    assert (await cloud.call("POST", "/attachments", another)).status_code == 200
