"""How many files an addition touches: a verb, a driver and a resource that are there, counted.

A file is touched if it names the addition, unless a command writes it or it lists all that Cinder has.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN = {
    "docs/api-coverage.md",
    "docs/operating/policy.yaml",
    "tests/api/volume/surface.txt",
    "tests/costs.txt",
}
GUIDE = (ROOT / "docs/adding-a-resource.md").read_text()


def naming(words: str) -> set[str]:
    """The files that name it."""
    found = subprocess.run(
        ["git", "grep", "-lE", words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return set(found) - WRITTEN - {"tests/api/test_places_touched.py"}


def below(folder: str) -> set[str]:
    """The files of an addition's own folder."""
    return {
        f"{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml")
    }


def places(*sections: int) -> list[str]:
    """The files that sections of the guide to resources say are to be edited, or made."""
    parts = re.split(r"^## \d\. ", GUIDE, flags=re.MULTILINE)
    rows = [row.split("|")[1] for part in sections for row in re.findall(r"^\| `.*", parts[part], re.MULTILINE)]
    return [place for row in rows for place in re.findall(r"`([^`]+)`", row)]


def test_another_type_for_a_volume_took_eight_files() -> None:
    assert len(naming("[rR]etype|RETYPE")) <= 8


def test_a_storage_of_the_network_takes_ten_files() -> None:
    touched = below("tests/drivers/toy_store") | naming("toy_store|ToyStore|ToyBackend")
    assert {"tests/conformance/backend_rigs.py", "tests/drivers/toy_store/store.py"} <= touched
    assert len(touched) <= 10


def test_a_resource_takes_sixteen_new_files_and_eight_edits() -> None:
    """The toy has its rows and its requests; the guide says which files of Pumice name a real one besides.

    With states it is named in eight. Its verbs and its quota come on top, and ``CHANGELOG.md``.
    """
    own = below("tests/resources/toy_shelf") | naming("toy_shelf")
    assert {"tests/resources/toy_shelf/routes.py", "tests/api/volume/test_a_new_resource.py"} <= own
    assert len(own) <= 16
    named = {place.replace("SERVICE", "volume") for place in places(1, 2, 3)} - WRITTEN
    edited = {place for place in named if (ROOT / "src/pumice" / place).is_file()}
    assert {"store/tables.py", "model/states.py", "api/volume/service.py", "api/absent.py"} <= edited
    assert len(edited) <= 8
