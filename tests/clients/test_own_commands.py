"""The plug-in of the ``openstack`` command, by the real command: operations, explain, why, schedules."""

import pytest
from installation import Installation
from story_clients import OpenStackCommand

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # what the clients warn of is not ours
]


def test_a_tenant_follows_a_volume_by_openstack_alone() -> None:
    with Installation(real=False) as pumice:
        openstack = OpenStackCommand(pumice)
        explained = openstack.json("volume", "explain", "--size", "1")
        assert explained["fits"] is True
        assert "pools" not in explained  # which are an administrator's to know
        volume = openstack.json("volume", "create", "--size", "1", "followed")["id"]
        watched = openstack.run("operation", "watch", volume).splitlines()
        assert [line.split()[1] for line in watched[:-1]] == ["claim_space", "make_bytes", "publish"]
        assert watched[-1] == f"volume.create {volume}: done"
        [listed] = openstack.json("operation", "list", "--subject", volume)
        assert (listed["Kind"], listed["State"]) == ("volume.create", "done")
        shown = openstack.json("operation", "show", listed["ID"])
        assert shown["history"].splitlines() == watched[:-1]
        for word in (volume, "followed"):
            assert "is available since" in openstack.run("volume", "why", word)
        assert openstack.json("volume", "explain", "--like", "followed")["size"] == 1
        assert openstack.json("recycle", "bin", "list") == []
        days = "pumice:recycle_days"
        openstack.run("--os-cloud", "pumice", "project", "set", "--property", f"{days}=7", "demo")
        openstack.run("volume", "delete", "followed")
        assert openstack.json("volume", "list") == []
        [kept] = openstack.json("recycle", "bin", "list", "--kind", "volume")
        assert (kept["ID"], kept["Name"], kept["State"]) == (volume, "followed", "kept")
        assert openstack.json("recycle", "bin", "show", "followed")["id"] == volume
        openstack.run("recycle", "bin", "restore", "followed")
        assert openstack.json("volume", "show", "followed")["id"] == volume
        with pytest.raises(Exception, match="could not be found"):
            openstack.run("recycle", "bin", "purge", volume)
        with pytest.raises(Exception, match="Thing nothing could not be found"):
            openstack.run("volume", "why", "nothing")
        snapshots_make_themselves(openstack, volume)
        used = openstack.json("volume", "usage", "list")
        assert {(one["Kind"], one["Volume Type"]) for one in used} == {("volume", "__DEFAULT__")}
        assert sum(one["GiB Hours"] for one in used) > 0
        admins = openstack.json("--os-cloud", "pumice", "volume", "usage", "list", "--all-projects")
        assert {one["Project ID"] for one in used} <= {one["Project ID"] for one in admins}
        with pytest.raises(Exception, match="like 2026-11-27"):
            openstack.run("volume", "usage", "list", "--from", "yesterday")
        what_is_made_is_watched(openstack)
        a_server_is_told(openstack)


def snapshots_make_themselves(openstack: OpenStackCommand, volume: str) -> None:
    asked = ("--volume", "followed", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin", "--keep-daily", "7")
    made = openstack.json("schedule", "create", "nightly", *asked)
    assert (made["volume_id"], made["keep"], made["enabled"]) == (volume, "daily: 7", True)
    run = openstack.json("schedule", "run", "nightly")
    assert (run["volumes"], run["schedule_id"]) == (1, made["id"])
    openstack.run("schedule", "set", "nightly", "--keep-last", "2", "--disable")
    [listed] = openstack.json("schedule", "list")
    assert (listed["Name"], listed["Enabled"], listed["ID"]) == ("nightly", False, made["id"])
    assert openstack.json("schedule", "show", "nightly")["keep"] == "last: 2"
    assert [one["ID"] for one in openstack.json("schedule", "run", "list", "nightly")] == [run["id"]]
    openstack.run("schedule", "delete", "--with-made", "nightly")
    for _ in range(100):
        if not (left := openstack.json("schedule", "list")):
            break
    assert not left and not openstack.json("volume", "snapshot", "list", "--volume", volume)


def what_is_made_is_watched(openstack: OpenStackCommand) -> None:
    made = openstack.json("volume", "create", "--size", "1", "--watch", "seen")
    assert made["status"] == "available"
    made = openstack.json("volume", "snapshot", "create", "--volume", "seen", "--watch", "of seen")
    assert made["status"] == "available"
    nowhere = ("--property", "volume_backend_name=nowhere", "nowhere")
    openstack.run("--os-cloud", "pumice", "volume", "type", "create", *nowhere)
    with pytest.raises(Exception, match="claim_space failed") as failed:
        openstack.run("volume", "create", "--size", "1", "--type", "nowhere", "--watch", "not seen")
    assert "no pool offers" in str(failed.value)


def a_server_is_told(openstack: OpenStackCommand) -> None:
    asked = ("--kind", "volume.*", "--kind", "snapshot.*", "--message-format", "cinder")
    made = openstack.json("webhook", "create", "https://ci.example/pumice", *asked)
    assert made["secret"].startswith("whsec_") and made["format"] == "cinder"
    changed = openstack.json("webhook", "set", made["id"], "--disable", "--message-format", "pumice")
    assert (changed["enabled"], changed["format"]) == (False, "pumice")
    [listed] = openstack.json("webhook", "list")
    assert (listed["ID"], listed["Kinds"]) == (made["id"], "volume.*, snapshot.*")
    tried = openstack.json("webhook", "test", made["id"])
    assert openstack.json("operation", "show", tried["operation_id"])["kind"] == "webhook.deliver"
    openstack.run("webhook", "delete", made["id"])
