"""How many files an addition touches: a verb, a driver and a resource that are there, counted.

    .venv/bin/python tests/api/test_places_touched.py

A file is touched if it names the addition, unless a command writes it or it lists all that Cinder has.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN = {
    "docs/api-coverage.md",
    "docs/operating/policy.yaml",
    "tests/api/volume/cinder_rules.txt",
    "tests/api/volume/surface.txt",
    "tests/api/volume/test_cinder_rules.py",
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


def for_a_verb() -> set[str]:
    """What names *retype*, another type for a volume where it is.

    Moving and encrypting volumes, which use it, events, Cinder's notifications and the console came later.
    """
    later = naming("[mM]igrate|MIGRATE|recrypt") - {"CHANGELOG.md", "src/pumice/volumes/retype.py"}
    later |= {"console/src/forms/volume.tsx", "docs/operating/notifications.md", "docs/own-api.md"}
    later |= naming("AtOnce|cinder_words") | {"tests/console/test_console_pages.py"}
    later |= {"tests/operations/test_encrypted_elsewhere.py", "tests/trouble/test_encrypted_volumes.py"}
    return naming("[rR]etype|RETYPE") - later


def for_a_backend() -> set[str]:
    """What a storage of the network takes: the toy's folder, and what names it."""
    return below("tests/drivers/toy_store") | naming("toy_store|ToyStore|ToyBackend")


def for_a_resource() -> set[str]:
    """What a resource takes of its own: the toy's folder, and what names it."""
    return below("tests/resources/toy_shelf") | naming("toy_shelf")


def edited_for_a_resource() -> set[str]:
    """The files of Pumice that name a real resource besides, with states: those of the guide to resources."""
    named = {place.replace("SERVICE", "volume") for place in places(1, 2, 3)} - WRITTEN
    return {place for place in named if (ROOT / "src/pumice" / place).is_file()}


def test_another_type_for_a_volume_took_eight_files() -> None:
    assert len(for_a_verb()) <= 8


def test_a_storage_of_the_network_takes_ten_files() -> None:
    touched = for_a_backend()
    assert {"tests/conformance/backend_rigs.py", "tests/drivers/toy_store/store.py"} <= touched
    assert len(touched) <= 10


def test_a_resource_takes_sixteen_new_files_and_eight_edits() -> None:
    """The toy has its rows and its requests. Its verbs and its quota come on top, and ``CHANGELOG.md``."""
    own = for_a_resource()
    assert {"tests/resources/toy_shelf/routes.py", "tests/api/volume/test_a_new_resource.py"} <= own
    assert len(own) <= 16
    edited = edited_for_a_resource()
    assert {"store/tables.py", "model/states.py", "api/volume/service.py", "api/absent.py"} <= edited
    assert len(edited) <= 8


if __name__ == "__main__":
    for count in (for_a_verb, for_a_backend, for_a_resource, edited_for_a_resource):
        print(f"{len(count()):3} {count.__name__}: {', '.join(sorted(count()))}")
