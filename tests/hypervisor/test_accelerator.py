"""Whether KVM is of use here: asked once, remembered."""

import json
from pathlib import Path

import pytest

from pumice.hypervisor import accelerator

pytestmark = pytest.mark.real


async def test_the_answer_is_remembered_until_kernel_or_qemu_change(tmp_path: Path) -> None:
    cache = tmp_path / "made" / "accelerator.json"
    chosen = await accelerator.choose(cache)
    (key,) = json.loads(cache.read_text())

    other = next(one for one in accelerator.Accelerator if one is not chosen)
    cache.write_text(json.dumps({key: other}))
    assert await accelerator.choose(cache) is other, "not asked again"
    cache.write_text(json.dumps({"another kernel": other}))
    assert await accelerator.choose(cache) is chosen


async def test_a_damaged_memory_is_asked_again(tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    cache.write_text('["half a')
    assert await accelerator.choose(cache) in accelerator.Accelerator


async def test_emulation_runs_the_probe_to_its_end() -> None:
    assert await accelerator.boots("tcg")
