"""``openstack volume migrate`` and ``cinder migrate``, unmodified, move volumes between real directories."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import warm_start
from tests.pumice_installation import VOLUMES, Installation, state_directory

pytestmark = [pytest.mark.timeout(300)]
GIB = 1024**3


def test_the_clients_move_volumes_plain_and_encrypted() -> None:
    with state_directory() as state_dir:
        pools = {name: state_dir.parent / name for name in ("one", "two")}
        backends = {
            "one": {"pools": {"pool": str(pools["one"])}},
            "two": {"pools": {"pool": str(pools["two"])}, "capacity_gb": 5},
        }
        pumice = Installation(
            state_dir, None, PUMICE_BACKENDS=json.dumps(backends), PUMICE_COMPUTE__DRIVER="none"
        )
        try:
            pumice.launch("serve")
            pumice.log_in()
            pumice.wait(lambda: pumice.is_up("volume", "scheduler"), "it does not come up")
            pumice.wait(lambda: len(pools_of(pumice)) == 2, "its pools are not reported")
            run, (one, two) = commands(pumice), pools_of(pumice)
            plain, secret = a_volume(pumice), a_volume(pumice, encrypted_type(pumice))
            before = {volume: fill(pools["one"], volume, volume == plain) for volume in (plain, secret)}
            run("openstack", "volume", "migrate", "--host", two, plain)
            run("cinder", "migrate", secret, two)
            pumice.settle()
            shown = json.loads(run("openstack", "volume", "show", "-f", "json", plain))
            assert shown["os-vol-host-attr:host"] == two
            assert shown["os-vol-mig-status-attr:migstat"] == "success"
            assert {volume: digest(pools["two"] / "volumes" / volume) for volume in before} == before
            assert list((pools["one"] / "volumes").iterdir()) == []
            run("openstack", "volume", "migrate", "--lock-volume", "--host", one, plain)
            pumice.settle()
            assert digest(pools["one"] / "volumes" / plain) == before[plain]
            run("openstack", "volume", "type", "create", "second", "--property", "volume_backend_name=two")
            run("openstack", "volume", "set", "--type", "second", "--migration-policy", "on-demand", plain)
            pumice.settle()
            assert digest(pools["two"] / "volumes" / plain) == before[plain]
            assert json.loads(run("openstack", "volume", "show", "-f", "json", plain))["type"] == "second"
            assert pumice.violations() == []
        finally:
            pumice.close()
            pumice.end_daemons()


def commands(pumice: Installation) -> Callable[..., str]:
    """Runs a client as the administrator; what it says."""
    clouds = yaml.safe_load((pumice.state_dir / "clouds.yaml").read_text())["clouds"]["pumice"]
    auth = {f"OS_{key.upper()}": str(value) for key, value in clouds["auth"].items()}
    environment = pumice.environment | auth | {"OS_IDENTITY_API_VERSION": "3", "OS_VOLUME_API_VERSION": "3.71"}
    environment |= {"OS_REGION_NAME": clouds.get("region_name", "RegionOne")}

    def run(client: str, *words: str) -> str:
        done = warm_start.run(client, words, environment, timeout=120)
        assert done.returncode == 0, (client, words, done.stdout, done.stderr)
        return done.stdout

    return run


def pools_of(pumice: Installation) -> list[str]:
    return sorted(pool["name"] for pool in pumice.call("GET", "/volume/v3/scheduler-stats/get_pools")["pools"])


def encrypted_type(pumice: Installation) -> str:
    kind = pumice.call("POST", "/volume/v3/types", {"volume_type": {"name": "secret"}})["volume_type"]["id"]
    specs = {"provider": "luks", "control_location": "front-end"}
    pumice.call("POST", f"/volume/v3/types/{kind}/encryption", {"encryption": specs})
    return "secret"


def a_volume(pumice: Installation, kind: str | None = None) -> str:
    wanted: dict[str, Any] = {"size": 1} | ({"volume_type": kind} if kind else {})
    volume = str(pumice.call("POST", VOLUMES, {"volume": wanted})["volume"]["id"])
    pumice.settle()
    return volume


def fill(pool: Path, volume: str, plain: bool) -> str:
    """Bytes at both ends, unless they are LUKS already. The digest of all of them."""
    path = pool / "volumes" / volume
    if plain:
        with path.open("r+b") as file:
            file.write(b"first")
            file.seek(GIB - 4)
            file.write(b"last")
    return digest(path)


def digest(path: Path) -> str:
    assert path.stat().st_size == GIB
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
