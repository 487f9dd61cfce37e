"""Every command in every bad place: one sentence and an exit code, and never a traceback."""

import functools
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests import drawn

from pumice.app import cli
from pumice.store import schema

NOBODY = 65534
SERVING = {"serve", "api", "scheduler", "volume", "compute", "tour"}
"""Commands that go on where they can: they are tried only in places where they cannot."""
QUICK = {"PUMICE_COMPUTE__DRIVER": "none"}
"""No hypervisor, which the doctor tries for seconds, where it is not what is tried here."""
FEW = 3
"""So many commands are all tried."""
SOMETHING = "00000000"
"""What is given for each argument."""
FLAGS = {"tour": ("--stay",), "service": ("--root", "/dev/null")}
"""What keeps a command in its place: else one looks for its own, another changes the machine."""


def commands(command: Any = None, words: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """Each command there is, with something for each argument that it asks for."""
    command = command or typer.main.get_command(cli.app)
    inner: dict[str, Any] = getattr(command, "commands", {})
    for name, each in inner.items():
        yield from commands(each, (*words, name))
    if not inner:
        arguments = [one for one in command.params if one.param_type_name == "argument" and one.required]
        yield [*words, *FLAGS.get(words[0], ()), *(SOMETHING for _ in arguments)]


class Commands:
    """A process that runs many commands, with all that they import loaded."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("many_commands.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=env,
        )

    def run(self, asked: list[list[str]], env: Mapping[str, str], user: int | None, *, reader: bool) -> Any:
        """The exit code of each, and what it wrote."""
        assert self._process.stdin and self._process.stdout
        said = {"asked": asked, "env": dict(env), "user": user, "reader": reader}
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@pytest.fixture(scope="module", autouse=True)
def shared() -> Iterator[None]:
    """What runs the commands of all these tests, but for those that need an interpreter of their own."""
    yield
    _shared().close()
    _shared.cache_clear()


@functools.cache
def _shared() -> Commands:
    return Commands({**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def told(
    place: Path,
    which: list[list[str]],
    *,
    user: int | None = None,
    reader: bool = True,
    alone: bool = False,
    **environment: str,
) -> list[tuple[str, int, str]]:
    """What each command, or one drawn of three, says about a state directory, and its exit code.

    ``alone``: by an interpreter that has this environment from its start.
    """
    env = {
        **os.environ,
        **QUICK,
        "HOME": f"{place}-home",
        "PYTHONPATH": os.pathsep.join(sys.path),
        **environment,
    }
    if len(which) > FEW:
        names = drawn.some([(place.name, *words) for words in which], one_in=3)
        which = [words for words in which if (place.name, *words) in names]
    asked = [["--state-dir", str(place), *words] for words in which]
    commands = Commands(env) if alone else _shared()
    found = commands.run(asked, env, user, reader=reader)
    if alone:
        commands.close()
    return [(" ".join(words), code, output) for words, (code, output) in zip(which, found, strict=True)]


def assert_plain(found: list[tuple[str, int, str]]) -> None:
    for command, code, output in found:
        assert code in (0, 1, 2), f"{command} ended with {code}: {output}"
        assert "Traceback" not in output and "Exception ignored" not in output, f"{command}: {output}"
        if code == 1 and output.startswith("pumice:"):
            assert output.count("\n") == 1, f"{command} is not told in one sentence: {output}"
            assert "This is a bug" not in output, f"{command}: {output}"


def test_every_command_is_tried() -> None:
    assert {"serve", "doctor", "audit", "settings"} < {words[0] for words in commands()}


def looking() -> list[list[str]]:
    return [words for words in commands() if words[0] not in SERVING]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", place]
    if subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a tmpfs")
    yield place
    subprocess.run(["umount", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_where_nobody_may_write(tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir(mode=0o700)
    schema.upgrade(f"sqlite:///{place}/pumice.db")
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    assert_plain(told(place, list(commands()), user=NOBODY, PUMICE_COMPUTE__DRIVER="libvirt"))
    assert_plain(told(place / "below", list(commands()), user=NOBODY))


def test_where_a_file_is(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a directory")
    assert_plain(told(place, list(commands())))


def test_on_a_full_disk_with_a_database(disk: Path) -> None:
    schema.upgrade(f"sqlite:///{disk}/pumice.db")
    fill(disk)
    assert_plain(told(disk, looking()))


def test_on_a_full_disk_without_one(disk: Path) -> None:
    fill(disk)
    found = told(disk, list(commands())) + told(disk, [["serve"]])
    assert_plain(found)
    full = [output for _, _, output in found if "No space left on device" in output]
    assert full and all("on the state directory's disk" in output for output in full)


def test_where_nothing_is(tmp_path: Path) -> None:
    found = told(tmp_path / "nothing", [words for words in looking() if words[0] not in ("db", "audit")])
    assert_plain(found)
    assert not (tmp_path / "nothing").exists(), "looking made something"


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_where_the_database_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pumice.db").write_bytes(content)
    assert_plain(told(tmp_path, looking()))


def call_it(state: Path, version: str) -> None:
    """Have a database whose schema is said to be of that version."""
    schema.upgrade(f"sqlite:///{state}/pumice.db")
    with sqlite3.connect(state / "pumice.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
    connection.close()


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (None, "There is no database at"),
        ("0001", "older schema, 0001; 'pumice db upgrade' brings it up to date"),
        ("9999", "use that one's commands"),
    ],
)
def test_what_is_said_of_a_database_is_true(tmp_path: Path, version: str | None, advice: str) -> None:
    if version:
        call_it(tmp_path, version)
    ((_, code, output),) = told(tmp_path, [["operations", "list"]])
    assert code == 1 and advice in output


def test_where_the_database_is_of_a_later_version(tmp_path: Path) -> None:
    call_it(tmp_path, "9999")
    assert_plain(told(tmp_path, list(commands())))


def test_where_the_database_server_is_down(tmp_path: Path) -> None:
    url = "postgresql://pumice:hushhush@127.0.0.1:1/pumice"
    which = [words for words in looking() if words[0] not in ("audit", "db")]  # those wait for it longer
    found = told(tmp_path, which, PUMICE_DATABASE_URL=url)
    assert_plain(found)
    assert all("hushhush" not in output for _, _, output in found)


def test_with_words_that_are_no_text(tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/pumice.db")
    garbled = "a\udcffb"
    which = [[garbled if word == SOMETHING else word for word in words] for words in looking()]
    assert_plain(told(tmp_path, [words for words in which if garbled in words]))
    (tmp_path / garbled).mkdir()
    assert_plain(told(tmp_path / garbled, [["operations", "list"], ["settings"]]))
    (tmp_path / "latin.toml").write_bytes(b'host = "a\xff"\n')
    assert_plain(told(tmp_path, [["hosts"]], PUMICE_CONFIG=f"{tmp_path}/latin.toml"))


def test_where_nobody_reads_on(tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/pumice.db")
    assert_plain(told(tmp_path, looking(), reader=False))


def test_without_a_terminal(tmp_path: Path) -> None:
    schema.upgrade(f"sqlite:///{tmp_path}/pumice.db")
    assert_plain(told(tmp_path, looking(), alone=True, TERM="", LANG="C", COLUMNS="0"))
