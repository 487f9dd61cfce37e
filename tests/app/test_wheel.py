"""The wheel alone: whoever has nothing but that has all of Pumice, and all that it imports."""

import ast
import json
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from tests.pumice_installation import IMAGES, VOLUMES, Installation, state_directory
from tests.version_before import build_wheel

from pumice.app import units

ROOT = Path(__file__).parents[2]
OPTIONAL = {
    *("botocore", "libvirt", "libvirt_qemu", "os_brick", "oslo_concurrency", "oslo_messaging", "oslo_service"),
    *("rtslib_fb", "rados", "rbd"),  # the last two in a program of Debian's own Python
    *("cliff", "keystoneauth1", "osc_lib"),  # what the openstack command has, whose plug-in imports it
}
"""What the extras bring, or Debian."""
NOT_IMPORTED_BY_NAME = {"cryptography"}
"""oslo.utils reads LUKS headers with it."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def needed(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """The distributions that come with one, by name."""
    for text in metadata.requires(name) or ():
        wish = Requirement(text)
        if any(wish.marker is None or wish.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield from installed(wish)


def installed(wish: Requirement) -> Iterator[str]:
    yield wish.name.lower().replace("_", "-").replace(".", "-")
    yield from needed(wish.name, frozenset(wish.extras))


def imported() -> set[str]:
    """The top-level names of every import in the package, wherever it stands."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"pumice"}


def wishes_of(wheel: Path) -> list[Requirement]:
    """What a wheel asks for, its extras' wishes included."""
    with zipfile.ZipFile(wheel) as archive:
        [text] = [archive.read(name).decode() for name in archive.namelist() if name.endswith("/METADATA")]
    asked = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Requires-Dist")]
    return [Requirement(line) for line in asked]


def test_no_package_may_be_older_than_what_all_is_tried_with(wheel: Path) -> None:
    older = set()
    for wish in wishes_of(wheel):
        if wish.name != "libvirt-python":  # it is Debian's, and of its libvirt's version
            [least] = [Version(it.version) for it in wish.specifier if it.operator == ">="]
            if least.release[:2] != Version(metadata.version(wish.name)).release[:2]:
                older.add(str(wish))
    assert not older, "raise them in pyproject.toml to what requirements/ has"


def test_whatever_is_imported_comes_with_the_wheel(wheel: Path) -> None:
    come = {name for wish in wishes_of(wheel) if wish.marker is None for name in installed(wish)}
    by_module = metadata.packages_distributions()
    lacking = {
        module
        for module in imported() - OPTIONAL
        if not {one.lower().replace("_", "-").replace(".", "-") for one in by_module.get(module, ())} & come
    }
    assert not lacking, "pyproject.toml does not ask for what is imported"
    assert come >= NOT_IMPORTED_BY_NAME


def test_it_brings_units_pages_and_types(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for source in (ROOT / "packaging" / "systemd").iterdir():
        assert f"pumice/systemd/{source.name}" in names
    built = [it for it in (ROOT / "src/pumice/console").rglob("*") if it.is_file()]
    assert {str(it.relative_to(ROOT / "src")) for it in built} <= names
    assert {"pumice/py.typed", "pumice/docs/operating.md", "pumice/docs/CHANGELOG.md"} <= names
    assert not [name for name in names if name.startswith("tests")]


def test_a_service_is_installed_for_this_very_command_and_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "_command", lambda: "/opt/pumice/bin/pumice")
    written = units.install(tmp_path)
    serve = (tmp_path / "etc/systemd/system/pumice.service").read_text()
    assert "ExecStart=/opt/pumice/bin/pumice serve" in serve
    assert (tmp_path / "etc/sysusers.d/pumice.conf").exists()
    assert units.install(tmp_path) == written, "it may be said again"
    assert units.remove(tmp_path) == written
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not (tmp_path / "etc/sysusers.d").exists(), "a directory that a small system has not"
    assert units.remove(tmp_path) == []


def environment_of(wheel: str | Path, place: Path) -> Path:
    """The programs of an environment that has nothing but a wheel and what it asks for."""
    venv.create(place, with_pip=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "-q", wheel], check=True)
    return place / "bin"


@pytest.mark.long
@pytest.mark.real
@pytest.mark.timeout(1800)
def test_with_its_extra_it_tells_the_four_stories_where_nothing_of_the_systems_is_seen(
    wheel: Path, tmp_path: Path
) -> None:
    programs = environment_of(f"{wheel}[libvirt]", tmp_path / "environment")
    with state_directory() as state:
        pumice = Installation(state, PYTHONPATH="")
        told = subprocess.run(
            [programs / "pumice", "tour"], env=pumice.environment, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, told.stdout + told.stderr
        assert "PUMICE-GUEST ready" in told.stdout and "PUMICE-GUEST wrote vdb" in told.stdout
        assert "no target, no machine, no file, no row in use" in told.stdout


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_wheel_in_an_environment_of_its_own_makes_volumes_and_servers(wheel: Path, tmp_path: Path) -> None:
    python = environment_of(wheel, tmp_path / "environment") / "python"
    fakes = {
        "PUMICE_BACKENDS": json.dumps({"files": {"driver": "files", "target": "fake"}}),
        "PUMICE_COMPUTE__DRIVER": "fake",
        "PYTHONPATH": "",
    }
    with state_directory() as state:
        pumice = Installation(state, **fakes)
        pumice.python = str(python)
        try:
            pumice.launch("serve")
            pumice.log_in()
            pumice.wait(lambda: "nova-compute" in pumice.services_up(), "its services do not come up")
            image = pumice.call("POST", IMAGES, {"name": "i", "disk_format": "raw", "container_format": "bare"})
            headers = {"Content-Type": "application/octet-stream"}
            sent = pumice.http.put(f"{IMAGES}/{image['id']}/file", content=bytes(1 << 20), headers=headers)
            assert sent.status_code == 204, sent.text
            made = pumice.call("POST", VOLUMES, {"volume": {"size": 1, "imageRef": image["id"]}})["volume"]
            pumice.settle()
            shown = pumice.call("GET", f"{VOLUMES}/{made['id']}")["volume"]
            assert (shown["status"], shown["bootable"]) == ("available", "true")
            assert "serves" in pumice.command("doctor", "--json").stdout
            assert pumice.command("audit").returncode == 0
        finally:
            pumice.close()
