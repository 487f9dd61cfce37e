"""The command ``pumice``: run as a program, on a database of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.app import cli
from pumice.app.settings import load
from pumice.model.errors import Misconfigured


def pumice(state: Path, *words: str, code: int = 0, **environment: str) -> str:
    """What the command prints, on either stream."""
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "--state-dir", str(state), *words],
        capture_output=True,
        text=True,
        cwd=state,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_version_needs_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['pumice', 'version']\n"
        "import atexit; atexit.register(lambda: print(*sorted(m for m in sys.modules if '.' not in m)))\n"
        "from pumice.app.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, modules = done.stdout.splitlines()
    assert first.startswith("pumice ")
    assert not {"sqlalchemy", "pydantic_settings", "uvicorn", "alembic", "oslo_policy", "structlog"} & set(
        modules.split()
    )


def test_looking_makes_no_database(tmp_path: Path) -> None:
    assert "pumice db upgrade" in pumice(tmp_path, "operations", "list", code=1)
    assert list(tmp_path.iterdir()) == []
    told = pumice(tmp_path, "db", "status")
    assert "schema none yet" in told
    assert "0001" in told
    assert not (tmp_path / "pumice.db").exists()
    assert "came from an empty database" in pumice(tmp_path, "db", "upgrade")
    assert "'pumice db upgrade' brings" not in pumice(tmp_path, "db", "status")
    assert "was there already" in pumice(tmp_path, "db", "upgrade")
    assert "None." in pumice(tmp_path, "operations", "list")


@pytest.mark.parametrize(
    "words", ["orphans remove * --yes", "operations cancel *", "hosts forget * --yes", "secrets rotate a *"]
)
def test_an_empty_word_means_nothing_where_every_id_begins_with_it(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["pumice", *("" if word == "*" else word for word in words.split())])
    with pytest.raises(SystemExit, match="One of the words is empty"):
        cli.main()


def test_each_setting_says_where_it_came_from_and_no_secret_is_shown(tmp_path: Path) -> None:
    (tmp_path / "pumice.toml").write_text(
        '[api]\nhost = "127.0.0.2"\nport = 1\n[identity]\nadmin_password = "hush"\n[quotas]\nvolumes = 3\n'
        '[backup]\ndriver = "s3"\nbucket = "ours"\naccess_key = "k"\nsecret_key = "hush"\n'
        'encryption_key = "hushhushhushhushhushhushhushhush"\n'
    )
    told = pumice(tmp_path, "settings", "--format", "json", PUMICE_API__PORT="2")
    found = {one["name"]: (one["value"], one["source"]) for one in json.loads(told)}
    assert found["state_dir"] == (str(tmp_path), "flag")
    assert found["api.port"] == (2, "environment")
    assert found["api.host"] == ("127.0.0.2", "pumice.toml")
    assert found["quotas.volumes"] == (3, "pumice.toml")
    assert found["api.max_limit"] == (1000, "default")
    assert "hush" not in told
    live = {one["name"] for one in json.loads(told) if one["live"]}
    assert {"log_level", "quotas.volumes", "api.max_limit"} <= live and not {"api.port", "host"} & live
    assert all(one["meaning"] for one in json.loads(told)), "a setting without a description"


def test_settings_that_make_no_sense_are_told_in_one_sentence(tmp_path: Path) -> None:
    told = pumice(tmp_path, "settings", code=1, PUMICE_API__PORT="many")
    assert told.startswith("pumice: The settings do not make sense: api.port:")
    assert told.count("\n") == 1


def test_an_empty_path_is_not_the_working_directory(tmp_path: Path) -> None:
    for name, setting in (("LOG_FILE", "log_file"), ("API__CERTIFICATE", "api.certificate")):
        told = pumice(tmp_path, "settings", code=1, **{f"PUMICE_{name}": ""})
        assert f"{setting}: an empty path leads nowhere" in told
    with pytest.raises(Misconfigured, match="leads nowhere"):
        load(state_dir="")


@pytest.mark.parametrize("name", ["a@b", "", "a/../b", "a\0", "x" * 81])
def test_a_name_of_a_backend_or_a_pool_is_one_as_a_hosts_is(tmp_path: Path, name: str) -> None:
    for backends in ({name: {"driver": "files"}}, {"b": {"driver": "files", "pools": {name: tmp_path}}}):
        with pytest.raises(Misconfigured, match=r"which stand between names|cannot be printed|longer than 80"):
            load(state_dir=tmp_path, backends=backends)


@pytest.mark.parametrize("host", ["a@b", "a#b", "a:b", "a/b", "a b"])
def test_a_name_of_a_host_that_could_not_be_told_apart_is_refused_in_words(tmp_path: Path, host: str) -> None:
    told = pumice(tmp_path, "--host", host, "settings", code=1)
    assert f"host: {host!r} is empty or has one of '@#:/ ', which stand between names." in told


@pytest.mark.parametrize(
    ("text", "environment", "told"),
    [
        (
            "",
            {"PUMICE_STATEDIR": "x"},
            "There is no setting 'PUMICE_STATEDIR'. Did you mean 'PUMICE_STATE_DIR'?",
        ),
        ("", {"PUMICE_API_PORT": "1"}, "Did you mean 'PUMICE_API__PORT'?"),
        ("", {"PUMICE_CONFIG": "nofile"}, "There is no settings file nofile"),
        ("", {"PUMICE_BACKENDS__FAST__DRIVRE": "lvm"}, "Did you mean 'backends.fast.driver'?"),
        ("[quotas]\nvolume = 5\n", {}, "There is no setting 'quotas.volume'. Did you mean 'quotas.volumes'?"),
        ("[backend.x]\n", {}, "There is no setting 'backend'. Did you mean 'backends'?"),
        ("[api]\nprot = 1\n", {}, "There is no setting 'api.prot'. Did you mean 'api.port'?"),
        ("[backends.x]\ntraget = 'lio'\n", {}, "Did you mean 'backends.x.target'?"),
        ("[api]\nstate_dir = '/'\n", {}, "There is no setting 'api.state_dir'. Did you mean 'state_dir'?"),
        ("host = 'a@b'\n", {}, "host"),
        ("host = 'a#b'\n", {}, "host"),
    ],
)
def test_a_setting_that_is_none_is_refused_with_what_was_meant(
    tmp_path: Path, text: str, environment: dict[str, str], told: str
) -> None:
    (tmp_path / "pumice.toml").write_text(text)
    assert told in pumice(tmp_path, "settings", code=1, **environment)


def test_settings_below_names_of_their_own_are_known(tmp_path: Path) -> None:
    (tmp_path / "pumice.toml").write_text(
        "[quotas]\nvolumes_fast = 5\n[operations.deadlines]\n'volume.create' = 9\n"
    )
    pumice(tmp_path, "settings", PUMICE_BACKENDS__FAST__DRIVER="fake", PUMICE_METRICS__PORTS__VOLUME="0")


def test_what_every_command_line_program_answers(tmp_path: Path) -> None:
    assert pumice(tmp_path, "--version").startswith("pumice ")
    assert "Usage" in pumice(tmp_path, "operations", "list", "-h")
    assert "--install-completion" in pumice(tmp_path, "--help")
