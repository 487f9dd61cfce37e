"""The guest image builder."""

import shutil
from pathlib import Path

import pytest

from pumice.app.guest_image import build_guest_image
from pumice.model.errors import Misconfigured

CACHE = Path(__file__).parents[2] / ".cache" / "guest"


@pytest.mark.real
async def test_building_twice_gives_the_same_bytes_and_a_cached_one_is_not_built(tmp_path: Path) -> None:
    first = await build_guest_image(tmp_path / "first.qcow2", CACHE)
    fresh = tmp_path / "cache"
    fresh.mkdir()
    for package in CACHE.glob("*.deb"):
        shutil.copyfile(package, fresh / package.name)
    steps: list[str] = []
    second = await build_guest_image(tmp_path / "folder" / "second.qcow2", fresh, steps.append)
    assert first.read_bytes() == second.read_bytes()
    assert steps
    steps.clear()
    await build_guest_image(second, fresh, steps.append)
    assert steps == []


async def test_a_missing_tool_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"apt-get install .*\bmtools\b.*\bqemu-utils\b"):
        await build_guest_image(tmp_path / "guest.qcow2", tmp_path / "cache")
