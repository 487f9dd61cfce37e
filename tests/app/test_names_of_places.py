"""A host or a backend under another name touches nothing, and says how to rename it; then all is as it was."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from pumice_installation import VOLUMES, Installation, state_directory

SETTINGS = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"files": {"driver": "files", "target": "fake"}}),
    "PUMICE_REPAIR__GRACE_SECONDS": "0",
}


@pytest.fixture
def pumice() -> Iterator[Installation]:
    with state_directory() as state:
        pumice = Installation(state, **SETTINGS)
        try:
            yield pumice
        finally:
            pumice.close()


def serve(pumice: Installation, host: str) -> None:
    pumice.environment["PUMICE_HOST"] = host
    pumice.launch("serve", host=host)
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up("serve"), "its services are not up")


def refusal(pumice: Installation, host: str) -> str:
    """What a start under this name says, before it ends."""
    name = "serve" if host == "here" else f"serve {host}"
    process = pumice.launch("serve", host=host)
    assert process.wait(PATIENCE) == 1
    pumice.processes.pop(name)
    return pumice.log(name).splitlines()[-1]


def a_volume(pumice: Installation) -> str:
    found: str = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
    pumice.becomes(f"{VOLUMES}/{found}", "volume", "available")
    return found


def files(pumice: Installation, backend: str = "files") -> set[str]:
    return {path.name for path in (pumice.state_dir / "volumes" / backend / "volumes").iterdir()}


def marks(pumice: Installation) -> list[Path]:
    return [pumice.state_dir / ".pumice-mark", pumice.state_dir / "volumes" / "files" / ".pumice-mark"]


def test_a_host_with_another_name_destroys_nothing_and_renamed_it_goes_on(pumice: Installation) -> None:
    serve(pumice, "oldname")
    volumes = {a_volume(pumice) for _ in range(3)}
    rename = ("--host", "newname", "hosts", "rename", "oldname", "newname")
    alive = pumice.command(*rename, "--yes")
    assert alive.returncode == 1 and "serves host 'oldname'" in alive.stderr
    pumice.stop("serve oldname")
    assert "run 'pumice hosts rename oldname newname'" in refusal(pumice, "newname")
    assert files(pumice) == volumes

    before = pumice.rows("SELECT id, pool FROM volumes ORDER BY id")
    assert "to be renamed: 3 volumes" in pumice.command(*rename).stdout
    assert pumice.rows("SELECT id, pool FROM volumes ORDER BY id") == before
    old = {path: path.read_text() for path in marks(pumice)}
    assert pumice.command(*rename, "--yes").returncode == 0
    for path, text in old.items():  # as if it had been killed before it came to the marks
        path.write_text(text)
    assert "run 'pumice hosts rename oldname newname'" in refusal(pumice, "newname")
    assert pumice.command(*rename, "--yes").returncode == 0
    assert "Host oldname could not be found" in pumice.command(*rename, "--yes").stderr
    assert [path.name for path in pumice.state_dir.glob("*.lock")] == ["newname.lock", "passwords.lock"]

    serve(pumice, "newname")
    assert {volume["id"] for volume in pumice.call("GET", VOLUMES)["volumes"]} == volumes
    audit = pumice.command("audit")
    assert (audit.returncode, audit.stdout) == (0, "Everything is as it should be.\n"), audit
    refused = pumice.command("--host", "oldname", "audit")
    assert refused.returncode == 1 and "knows no host 'oldname', but newname" in refused.stderr
    gone = volumes.pop()
    pumice.call("DELETE", f"{VOLUMES}/{gone}")
    pumice.becomes(f"{VOLUMES}/{gone}", "volume", "gone")
    assert files(pumice) == volumes

    pumice.stop("serve newname")
    for path in marks(pumice):  # as an installation from before that had none
        path.unlink()
    assert "run 'pumice hosts rename newname oldname'" in refusal(pumice, "oldname")


def test_storage_that_is_lost_or_anothers_is_not_used_and_nothing_is_made_there(pumice: Installation) -> None:
    serve(pumice, "here")
    volume = a_volume(pumice)
    marks(pumice)[1].unlink()
    pumice.wait(marks(pumice)[1].exists, "a mark that is lost while the bytes are there is not left again")
    pumice.stop("serve")
    pool = pumice.state_dir / "volumes" / "files"
    shutil.move(pool, pumice.state_dir / "elsewhere")
    pool.mkdir()
    pumice.launch("serve")
    pumice.wait(lambda: "is its storage mounted?" in pumice.log("serve"), "it is not said")
    audit = pumice.command("audit")
    assert audit.returncode == 1 and "is its storage mounted?" in audit.stdout
    assert not list(pool.iterdir())
    pool.rmdir()
    shutil.move(pumice.state_dir / "elsewhere", pool)
    pumice.wait(lambda: pumice.is_up("serve"), "it is not used again")
    pumice.stop("serve")

    for path in pumice.state_dir.glob("pumice.db*"):
        path.unlink()
    assert "belongs to another installation" in refusal(pumice, "here")
    marks(pumice)[0].unlink()
    pumice.launch("serve")
    pumice.wait(lambda: "pumice backends take here@files#pool" in pumice.log("serve"), "it is not said")
    assert files(pumice) == {volume}


def test_a_backend_with_another_name_waits_until_it_is_renamed(pumice: Installation) -> None:
    serve(pumice, "here")
    volume = a_volume(pumice)
    pumice.stop("serve")
    pools = {"pool": str(pumice.state_dir / "volumes" / "files")}
    other = {"files": {"driver": "files", "target": "fake", "pools": {"tank": pools["pool"]}}}
    pumice.environment["PUMICE_BACKENDS"] = json.dumps(other)
    audit = pumice.command("audit")
    assert "Pool here@files#tank has the storage of here@files#pool" in audit.stdout, audit
    assert "hosts rename" not in audit.stdout
    renamed = {"quick": {"driver": "files", "target": "fake", "pools": pools}}
    pumice.environment["PUMICE_BACKENDS"] = json.dumps(renamed)
    pumice.launch("serve")
    pumice.wait(lambda: "pumice backends rename here@files quick" in pumice.log("serve"), "it is not said")
    pumice.stop("serve")
    done = pumice.command("backends", "rename", "here@files", "quick", "--yes")
    assert done.returncode == 0, done
    serve(pumice, "here")
    host = pumice.call("GET", f"{VOLUMES}/{volume}")["volume"]["os-vol-host-attr:host"]
    assert host == "here@quick#pool"
    assert files(pumice) == {volume}
    pumice.environment["PUMICE_BACKENDS"] = json.dumps({"other": {"driver": "fake", "target": "fake"}})
    assert pumice.command("audit").stdout.splitlines() == [
        "not looked at: here@quick (run 'pumice audit' on its host)",
        "What was looked at is as it should be.",
    ]


def test_an_audit_where_no_pumice_is_makes_nothing(pumice: Installation) -> None:
    nowhere = pumice.state_dir / "nowhere"
    refused = pumice.command("--state-dir", str(nowhere), "audit")
    assert refused.returncode == 1 and "There is no database" in refused.stderr
    assert not nowhere.exists()
