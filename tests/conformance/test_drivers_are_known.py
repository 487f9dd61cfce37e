"""``docs/adding-a-driver.md`` held to its word: what a driver takes is there, and a new one takes no more."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from backend_rigs import RIGS
from target_rigs import KINDS as TARGET_KINDS
from tests.pumice_installation import ATTACHMENTS, VOLUMES, Installation, state_directory

from pumice.app.settings import Compute
from pumice.backends.registry import BACKENDS
from pumice.backends.targets.registry import TARGETS
from pumice.host.registry import Registry
from pumice.hypervisor.registry import HYPERVISORS

ROOT = Path(__file__).parents[2]
DRIVERS = ROOT / "tests/drivers"
GUIDE = (ROOT / "docs/adding-a-driver.md").read_text()
TRIED = {
    "pumice.backends": {kind.partition("-")[0] for kind in RIGS},
    "pumice.targets": {kind if isinstance(kind, str) else str(kind.values[0]) for kind in TARGET_KINDS},
}


@pytest.mark.parametrize("registry", [BACKENDS, TARGETS], ids=lambda it: it.group)
def test_every_driver_has_what_the_guide_asks_for(registry: Registry[object]) -> None:
    for name, schema in registry.every.items():
        where = schema.__module__
        assert where.endswith(f".{name}_settings"), (
            f"'{name}' has its settings beside it, in {name}_settings.py"
        )
        assert name in TRIED[registry.group], f"'{name}' has no line in tests/conformance"
        assert "open" in vars(schema), f"the settings of '{name}' do not open it"


def test_every_hypervisor_that_settings_may_name_is_in_the_registry() -> None:
    assert {*get_args(Compute.model_fields["driver"].annotation)} == {*HYPERVISORS, "none"}


def test_every_file_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`((?:src|tests|docs|backends|hypervisor|app|host|model)/[\w/.-]+\.\w+)`", GUIDE))
    assert len(named) > 8
    missing = {it for it in named if not ((ROOT / it).exists() or (ROOT / "src/pumice" / it).exists())}
    assert not missing


def test_nothing_outside_of_a_backends_own_files_and_its_registry_knows_its_name() -> None:
    """The toy's takes its own folder, and a line of the conformance suite."""
    found = subprocess.run(
        ["git", "grep", "-lE", r"toy_store|ToyStore|\"toy\"", "--", "src", "tests", "packaging"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    own = {it for it in found if it.startswith("tests/drivers/")}
    assert set(found) - own == {
        "tests/api/test_places_touched.py",
        "tests/conformance/backend_rigs.py",
        "tests/conformance/test_drivers_are_known.py",
    }
    lvm = r"[\"']lvm[\"']|LvmBackend|LvmSettings|lvm_settings"
    knows = subprocess.run(
        ["git", "grep", "-lE", lvm, "--", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {it for it in knows if not it.startswith("src/pumice/backends/lvm")} == {
        "src/pumice/backends/registry.py"
    }


@pytest.fixture
def pumice() -> Iterator[Installation]:
    """One in whose Python the toy's package is installed."""
    with state_directory() as state:
        found = Installation(
            state,
            PYTHONPATH=str(DRIVERS),
            PUMICE_BACKENDS=f'{{"shared": {{"driver": "toy", "mounted": "{state}/mounted"}}}}',
            PUMICE_COMPUTE__DRIVER="fake",
        )
        (state / "mounted").mkdir()
        try:
            found.launch("serve")
            found.log_in()
            yield found
        finally:
            found.close()


def test_a_package_brings_a_storage_that_hosts_reach_by_themselves(pumice: Installation) -> None:
    volume = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    wanted = {"volume_uuid": volume, "connector": {"host": "node1"}}
    link = pumice.call("POST", ATTACHMENTS, {"attachment": wanted})["attachment"]
    info = link["connection_info"]
    assert info["driver_volume_type"] == "local"
    assert Path(info["device_path"]).stat().st_size == 1024**3
    doors = pumice.state_dir / "toy-doors" / volume
    assert len(list(doors.iterdir())) == 1
    pumice.call("DELETE", f"{ATTACHMENTS}/{link['id']}")
    pumice.becomes(f"{VOLUMES}/{volume}", "volume", "available")
    assert not doors.exists()
    assert "toy shared" in pumice.command("doctor").stdout or "toy mount" in pumice.command("doctor").stdout
    pumice.settle()
    assert pumice.violations() == []
