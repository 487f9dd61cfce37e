"""How many files an addition touches: a verb, a driver and a resource, counted.

    .venv/bin/python tests/api/test_places_touched.py

A toy is counted by the files that name it; what is no toy by the places that its guide names, but for those
that a command writes. That the guide to verbs leaves none out is seen at two that are there.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
WRITTEN = {
    "docs/api-coverage.md",
    "docs/operating/policy.yaml",
    "src/pumice/api/volume/answers.json",
    "tests/api/volume/cinder_rules.txt",
    "tests/api/volume/surface.txt",
    "tests/api/volume/test_cinder_rules.py",
    "tests/costs.txt",
}
TO_VERBS, TO_RESOURCES = "docs/adding-a-verb.md", "docs/adding-a-resource.md"


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


def places(guide: str, *sections: int) -> set[str]:
    """The files that sections of a guide say are to be edited, or made, and that no command writes."""
    parts = re.split(r"^## \d\. ", (ROOT / guide).read_text(), flags=re.MULTILINE)
    rows = [row.split("|")[1] for part in sections for row in re.findall(r"^\| `.*", parts[part], re.MULTILINE)]
    return {place for row in rows for place in re.findall(r"`([^`]+)`", row)} - WRITTEN


def for_a_verb() -> set[str]:
    """The files of its own that a verb has, and those of tests and of Pumice that name it."""
    return places(TO_VERBS, 6, 7)


def for_a_backend() -> set[str]:
    """What a storage of the network takes: the toy's folder, and what names it."""
    return below("tests/drivers/toy_store") | naming("toy_store|ToyStore|ToyBackend")


def for_a_resource() -> set[str]:
    """What a resource takes of its own: the toy's folder, and what names it."""
    return below("tests/resources/toy_shelf") | naming("toy_shelf")


def edited_for_a_resource() -> set[str]:
    """The files of Pumice that name a real resource besides, with states: those of the guide to resources."""
    named = {place.replace("SERVICE", "volume") for place in places(TO_RESOURCES, 1, 2, 3)}
    return {place for place in named if (ROOT / "src/pumice" / place).is_file()}


def test_a_verb_takes_two_new_files_and_eight_edits() -> None:
    """Five of tests come on top, and ``CHANGELOG.md``."""
    named = for_a_verb()
    new = {place for place in named if "VERB" in place}
    tests = {place for place in named - new if place.startswith("tests/")}
    assert new == {"volumes/VERB.py", "tests/api/SERVICE/test_VERB.py"}
    assert len(tests) <= 5
    assert len(named - new - tests - {"CHANGELOG.md"}) <= 8


def test_a_verb_is_named_in_no_file_of_pumice_that_its_guide_leaves_out() -> None:
    """*Unmanage*, of volumes and of snapshots: a word that is nothing else's."""
    named = {it.removeprefix("src/pumice/") for it in naming("[uU]nmanag|UNMANAG") if it.startswith("src/")}
    apis = {"api/volume/manage.py", "api/volume/snapshots.py"}
    verbs = {"volumes/unmanage.py", "volumes/snapshots/unmanage.py"}
    assert apis | verbs < named
    assert named - apis - verbs <= for_a_verb()


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
