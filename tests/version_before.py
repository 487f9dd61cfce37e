"""The version before this one, as its processes were: what an upgrade without a stop meets.

Its source is taken from this repository's history, into ``.cache/version-before``, and runs on this version's
packages. A clone without that history cannot have it; then ``why_not`` says so.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

COMMIT = "714bd2a2284e2519d450898beb7bfa9353f94cea"
"""The last that was handed out before this one. To be moved on with each version."""

HERE = Path(__file__).parents[1]


def why_not() -> str:
    """What is missing; empty where it can be had."""
    found = subprocess.run(
        ["git", "-C", HERE, "cat-file", "-e", f"{COMMIT}^{{commit}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"NO VERSION BEFORE: this clone has no commit {COMMIT[:7]}" if found.returncode else ""


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What makes this Python run the version before as ``python -m pumice``."""
    return {**given, "PYTHONPATH": os.pathsep.join(filter(None, [str(source()), given.get("PYTHONPATH", "")]))}


def source() -> Path:
    """The directory that holds its package."""
    kept = HERE / ".cache" / "version-before" / COMMIT
    if not kept.exists():
        making = kept.with_name(f"{COMMIT}-{os.getpid()}")
        making.mkdir(parents=True)
        archive = subprocess.run(["git", "-C", HERE, "archive", COMMIT], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", making], input=archive.stdout, check=True)
        if not kept.exists():
            making.rename(kept)
    return kept / "src"


def wheel(target: Path) -> Path:
    """Its wheel, in the directory ``target``. Its number is lower than this version's, whatever it was then."""
    tree = target / "source"
    shutil.copytree(source().parent, tree)
    project = tree / "pyproject.toml"
    project.write_text(re.sub(r'^version = ".*"', 'version = "0.0.1"', project.read_text(), flags=re.MULTILINE))
    return build_wheel(tree, target)


def build_wheel(tree: Path, target: Path) -> Path:
    """The wheel of a source tree, in the directory ``target``."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    before = set(target.glob("*.whl"))
    subprocess.run(build, cwd=tree, check=True, capture_output=True)
    [made] = set(target.glob("*.whl")) - before
    return made


def run(code: str, **given: str) -> str:
    """What a piece of Python prints in the version before."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment({**os.environ, **given}), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
