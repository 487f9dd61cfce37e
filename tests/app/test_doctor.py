"""The doctor: each part missing in turn, and what it says then."""

import asyncio
import functools
import os
import socket
from pathlib import Path

import pytest
from test_bad_places import call_it
from tests.ports import free_port

from pumice.app import checks, doctor, driver_setup, marks, probes, serving_api, units
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Api, Compute, Settings
from pumice.backends.files_settings import FilesSettings, holds_locks_to_itself
from pumice.backends.lvm_settings import LvmSettings
from pumice.backends.targets.tgt_settings import TgtSettings
from pumice.host import parts
from pumice.images.files import ImageFiles
from pumice.model.errors import Misconfigured
from pumice.model.finding import Verdict
from pumice.store import schema
from pumice.store.open import open_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    port = free_port()
    return Settings(
        state_dir=tmp_path / "state",
        api=Api(port=port),
        tgt=TgtSettings(portal=f"127.0.0.1:{port}"),
        host="here",
    )


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing is installed."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(parts, "SBIN", str(tmp_path / "bin"))


@pytest.mark.usefixtures("empty_path")
async def test_without_any_tool_the_volume_api_still_serves(settings: Settings) -> None:
    findings = {one.part: one for one in await doctor.examine(settings)}
    assert not any(one.fatal for one in findings.values())
    missing = {part for part, one in findings.items() if one.verdict is Verdict.MISSING}
    assert missing >= {"qemu-img", "tgtd", "qemu", "qemu iscsi", "accelerator", "private libvirtd"}
    assert findings["tgtd"].cure == "apt-get install tgt"
    assert findings["qemu-img"].cure == "apt-get install qemu-utils"
    assert all(findings[part].without for part in missing), "it does not say what works without"


@pytest.mark.usefixtures("empty_path")
def test_the_exit_code_says_whether_the_volume_api_can_serve(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor.run(settings, as_json=False) == 0
    assert "can serve" in capsys.readouterr().out
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.api.port))
        other.listen()
        assert doctor.run(settings, as_json=True) == 1
        assert '"serves": false' in capsys.readouterr().out


async def test_what_is_not_asked_for_is_not_looked_at(settings: Settings) -> None:
    without = settings.model_copy(update={"compute": Compute(driver="none")})
    parts = {one.part for one in await doctor.examine(without)}
    assert "qemu" not in parts and "private libvirtd" not in parts
    assert "tgtd" in parts


async def test_a_volume_group_that_is_not_there_is_named_with_its_cure(settings: Settings) -> None:
    lvm = LvmSettings(target="fake", volume_group="absent")
    found = await doctor.examine(settings.model_copy(update={"backends": {"lvm-1": lvm}}))
    [group] = [one for one in found if one.part == "volume group absent"]
    assert group.verdict is Verdict.MISSING and not group.fatal
    assert group.cure


def test_the_port_of_a_running_pumice_is_in_order(settings: Settings) -> None:
    settings.state_dir.mkdir()
    with socket.socket() as ours, serving_api.told(settings.state_dir), serving_api.told(settings.state_dir):
        ours.bind(("127.0.0.1", settings.api.port))
        ours.listen()
        found = probes.api_port(settings)
    assert found.verdict is Verdict.OK
    assert str(os.getpid()) in found.found


async def test_the_doctor_leaves_nothing_behind(settings: Settings, tmp_path: Path) -> None:
    await doctor.examine(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_no_database_is_told(settings: Settings) -> None:
    settings.state_dir.mkdir()
    (settings.state_dir / "pumice.db").write_text("this is no database, and long enough to be looked at\n" * 99)
    assert probes.database(settings).fatal


def test_a_database_that_a_newer_version_has_upgraded_is_told(settings: Settings) -> None:
    settings.state_dir.mkdir()
    call_it(settings.state_dir, "9999")
    found = probes.database(settings)
    assert found.fatal and "a newer version" in found.found


@pytest.mark.parametrize("wrong", ["file", "below a file", "loop", "url", "port"])
def test_no_directory_for_a_state_and_no_url_of_a_database_are_told_by_both(
    settings: Settings, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    values = {
        "file": {"state_dir": tmp_path / "file"},
        "below a file": {"state_dir": tmp_path / "file" / "state"},
        "loop": {"state_dir": tmp_path / "loop"},
        "url": {"database_url": "nonsense"},
        "port": {"database_url": "postgresql://[::1"},
    }
    settings = settings.model_copy(update=values[wrong])
    assert probes.settings_for(settings, EVERY).fatal
    with pytest.raises(Misconfigured, match=r"is no directory|URL is none"):
        checks.refuse(settings, EVERY)


def test_what_serve_refuses_the_doctor_tells(settings: Settings) -> None:
    wrong = settings.model_copy(update={"policy_file": settings.state_dir / "absent.yaml"})
    found = probes.settings_for(wrong, EVERY)
    assert found.fatal and "policy file" in found.found
    with pytest.raises(Misconfigured, match="policy file"):
        checks.refuse(wrong, EVERY)
    broken = settings.state_dir.parent / "policy.yaml"
    for content in ("a: [", "- a", "only words", '"volume:get": 5'):
        broken.write_text(content)
        found = probes.settings_for(settings.model_copy(update={"policy_file": broken}), EVERY)
        assert found.fatal and "policy file" in found.found and "\n" not in found.found, content
    no_api = wrong.model_copy(update={"database_url": "postgresql://somewhere/pumice"})
    assert checks.wrong(no_api, frozenset({Role.VOLUME})) == []


async def test_a_state_directory_of_another_host_or_installation_is_told(settings: Settings) -> None:
    settings.state_dir.mkdir()
    db = open_database(settings.database())
    await schema.migrate(db)
    await marks.take_state_directory(db, settings)
    await db.close()
    look = functools.partial(asyncio.to_thread, probes.state_directory)
    assert not (await look(settings)).fatal
    renamed = await look(settings.model_copy(update={"host": "there"}))
    assert renamed.fatal and "pumice hosts rename here there" in renamed.found
    (settings.state_dir / "pumice.db").unlink()
    assert not (await look(settings)).fatal, "nobody knows"
    schema_of_another = open_database(settings.database())
    await schema.migrate(schema_of_another)
    await schema_of_another.close()
    assert "another installation" in (await look(settings)).found


def test_pools_that_have_changed_places_are_told(settings: Settings, tmp_path: Path) -> None:
    pools = {name: FilesSettings(pools={"pool": tmp_path / name}) for name in ("one", "two")}
    swapped = {"one": pools["two"], "two": pools["one"]}
    settings = settings.model_copy(update={"backends": pools})
    settings.state_dir.mkdir()
    assert "no database tells yet" in probes.whose_pools(settings, "one").found

    async def open_both() -> None:
        db = open_database(settings.database())
        await schema.migrate(db)
        for backend in driver_setup.build(settings, db, ImageFiles(tmp_path)).drivers.backends.values():
            await backend.start()
        await db.close()

    asyncio.run(open_both())
    assert {probes.whose_pools(settings, name).verdict for name in pools} == {Verdict.OK}
    found = probes.whose_pools(settings.model_copy(update={"backends": swapped}), "one")
    assert (found.verdict, "Pool here@one#pool belongs to here@two#pool" in found.found) == (
        Verdict.MISSING,
        True,
    )
    told = asyncio.run(
        doctor.examine(settings.model_copy(update={"backends": swapped}), frozenset({Role.VOLUME}))
    )
    assert {it.part for it in told if "belongs to" in it.found} == {"marks of one", "marks of two"}


async def test_a_host_is_looked_at_by_its_roles(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.api.port))
        other.listen()
        parts = {one.part for one in await doctor.examine(settings, frozenset({Role.VOLUME}))}
    assert "tgtd" in parts
    assert not parts & {"api port", "qemu", "accelerator"}


def test_the_roles_of_a_host_are_those_whose_units_are_enabled(tmp_path: Path) -> None:
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "pumice-volume.service").symlink_to("/nowhere")
    assert units.enabled(tmp_path) == {Role.VOLUME}
    (wants / "pumice.service").symlink_to("/nowhere")
    assert units.enabled(tmp_path) == EVERY


async def test_where_servers_open_volumes_themselves_no_target_and_no_initiator_is_missed(
    settings: Settings, tmp_path: Path
) -> None:
    pools = {"pool": tmp_path}
    backends = {"one": FilesSettings(target="local"), "two": FilesSettings(target="shared", pools=pools)}
    findings = {
        one.part: one for one in await doctor.examine(settings.model_copy(update={"backends": backends}))
    }
    assert not {"tgtd", "iscsi portal", "qemu iscsi"} & set(findings)
    assert findings["locks in two#pool"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("mounted", "holds"),
    [
        ("nfs:/vols /srv nfs4 rw,vers=4.2,local_lock=none 0 0", False),
        ("nfs:/vols /srv nfs rw,vers=3,local_lock=all 0 0", True),
        ("nfs:/vols /srv nfs rw,vers=3,nolock 0 0", True),
        ("nfs:/vols /srv nfs rw,vers=3,nolock 0 0\n/dev/vdb /srv/shared xfs rw 0 0", False),
        ("/dev/vdb /srv ext4 rw 0 0", False),
    ],
)
def test_an_nfs_whose_locks_hold_on_its_host_alone_is_known(mounted: str, holds: bool) -> None:
    mounts = f"/dev/vda / ext4 rw 0 0\n{mounted}\n"
    assert holds_locks_to_itself(Path("/srv/shared"), mounts) is holds


def test_no_advice_needs_the_repository() -> None:
    """Whoever has the wheel has no ``scripts`` and no ``make``."""
    sources = Path(doctor.__file__).parents[1].rglob("*.py")
    assert [file for file in sources if "scripts/" in file.read_text()] == []
