"""The console's types of Pumice's own API are those of its OpenAPI document."""

import subprocess
from pathlib import Path

import orjson
import pytest

from pumice.api.own.service import DOCUMENT

ROOT = Path(__file__).parents[2]
WRITTEN = ROOT / "console/src/api.ts"


@pytest.mark.skipif(
    not (ROOT / "console/node_modules").exists(), reason="NO NODE: scripts/setup installs it for the console"
)
def test_the_types_are_current() -> None:
    done = subprocess.run(
        ["scripts/console", "run", "--silent", "types"],
        cwd=ROOT,
        input=orjson.dumps(DOCUMENT),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == WRITTEN.read_text(), "make types"
