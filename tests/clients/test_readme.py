"""README.md's section "Use it", typed command by command, in its order."""

import io
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import Installation
from rich.console import Console
from tests import warm_start

from pumice.app.settings import Settings
from pumice.app.tour.run import dashboard
from pumice.app.tour.screen import Screen

README = Path(__file__).parents[2] / "README.md"
COMMANDS = re.findall(
    r"^    \.venv/bin/((?:openstack|pumice) .*?)(?:  +#.*)?$",
    README.read_text().partition("## Use it")[2].partition("\n## ")[0],
    re.MULTILINE,
)
PASSWORD = "another-secret"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # what the clients warn of is not ours
]


@pytest.fixture(scope="module")
def pumice() -> Iterator[Installation]:
    """What the tour leaves: an image of its guest."""
    # A fake backend's bytes are its process's own; an audit looks from another.
    backends = json.dumps({"files": {"driver": "files", "target": "fake"}})
    with Installation(real=False, PUMICE_BACKENDS=backends) as pumice:
        image = pumice.directory / "image.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "16M"], check=True, timeout=60)
        with pumice.cloud() as cloud:
            cloud.create_image("pumice-guest", filename=str(image), disk_format="qcow2", wait=True)
        yield pumice


def typed(pumice: Installation, words: str) -> subprocess.CompletedProcess[str]:
    program, *rest = shlex.split(words)
    clouds = {"OS_CLIENT_CONFIG_FILE": str(pumice.clouds_file), "OS_CLOUD": "pumice"}
    return warm_start.run(program, rest, {**pumice.environment, **clouds}, timeout=120, given=f"{PASSWORD}\n")


def some_id(pumice: Installation, words: str) -> str:
    """An id that the command takes: of an operation, or of a volume."""
    listed = json.loads(typed(pumice, "pumice operations list --kind volume.create --json").stdout)
    return str(listed[0]["subject" if words.startswith("pumice why") else "id"])


def test_each_command_of_the_readme_does_what_it_says_in_its_order(pumice: Installation) -> None:
    assert {words.split()[0] for words in COMMANDS} == {"openstack", "pumice"} and len(COMMANDS) > 12
    for words in COMMANDS:
        if "ID" in words.split():
            words = words.replace("ID", some_id(pumice, words))
        done = typed(pumice, words.replace("USER", "demo"))
        said = f"{words}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in said
        if words.startswith("pumice operations cancel"):
            assert "is done" in said, "what has ended cannot turn back, and is told so"
        else:
            assert done.returncode == 0, said


def test_the_tour_advises_the_same_commands(pumice: Installation) -> None:
    told = io.StringIO()
    dashboard(Settings(), pumice.url, Screen(Console(file=told, width=1000)), "")
    advised = re.findall(r"bin/(openstack .*?)(?: +#.*)?$", told.getvalue(), re.MULTILINE)
    assert len(advised) == 4 and set(advised) <= set(COMMANDS)
