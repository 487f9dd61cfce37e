"""SIGHUP: a process takes over what is safe, names what needs a restart, and never falls over a wrong file."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from postgres_server import PostgresServer
from pumice.app import logs
from pumice_installation import VOLUMES, Installation, state_directory

FAKE = {
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
    "PUMICE_LOG_FORMAT": "json",
}


CHANGED = """
log_level = "debug"
availability_zone = "elsewhere"
[quotas]
volumes = 3
[api]
max_limit = 1
[compute]
detach_seconds = 5
[operations]
workers = 7
tries = 9
deadlines = {"volume.create" = 77}
"""


@contextmanager
def installed(toml: str, database_url: str | None = None) -> Iterator[Installation]:
    """An installation that reads its settings from a file, ``pumice.toml`` beside its state."""
    with state_directory() as state:
        file = state.parent / "pumice.toml"
        file.write_text(toml)
        pumice = Installation(state, database_url, **FAKE, PUMICE_CONFIG=str(file))
        del pumice.environment["PUMICE_QUOTAS"]  # it would win over the file
        try:
            yield pumice
        finally:
            pumice.close()


def settings_file(pumice: Installation) -> Path:
    return Path(pumice.environment["PUMICE_CONFIG"])


def lines(pumice: Installation, name: str, event: str) -> list[dict[str, Any]]:
    """The lines of an event in a process's log."""
    found = [json.loads(line) for line in pumice.log(name).splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event]


def reload(pumice: Installation, name: str, event: str) -> dict[str, Any]:
    """Send SIGHUP and wait for the one line that answers it."""
    before = len(lines(pumice, name, event))
    pumice.processes[name].send_signal(signal.SIGHUP)
    pumice.wait(lambda: len(lines(pumice, name, event)) > before, f"there is no {event}")
    return lines(pumice, name, event)[-1]


def create(pumice: Installation) -> int:
    return pumice.http.post(VOLUMES, json={"volume": {"size": 1}}).status_code


def test_what_is_safe_applies_at_once_and_the_rest_is_named() -> None:
    with installed('log_level = "warning"\n[quotas]\nvolumes = 1\n') as pumice:
        pumice.launch("serve")
        pumice.log_in()
        assert [create(pumice), create(pumice)] == [202, 413]
        settings_file(pumice).write_text(CHANGED)
        left = reload(pumice, "serve", "settings.need_restart")
        assert left["changed"] == ["availability_zone", "operations.workers"]
        taken = lines(pumice, "serve", "settings.read")[-1]["changed"]
        assert taken == [
            "api.max_limit",
            "compute.detach_seconds",
            "log_level",
            "operations.deadlines",
            "operations.tries",
            "quotas",
        ]
        assert [create(pumice), create(pumice), create(pumice)] == [202, 202, 413]
        assert len(pumice.call("GET", VOLUMES)["volumes"]) == 1
        asked = "it is not told what was asked"
        pumice.wait(lambda: any(it["method"] == "GET" for it in lines(pumice, "serve", "api.request")), asked)
        settings_file(pumice).write_text('log_level = "warning"\navailability_zone = "elsewhere"\n')
        reload(pumice, "serve", "settings.need_restart")
        told = len(lines(pumice, "serve", "api.request"))
        pumice.call("GET", VOLUMES)
        assert len(lines(pumice, "serve", "api.request")) == told


def test_a_log_file_that_was_moved_is_begun_anew_whatever_the_settings_say() -> None:
    with installed("[quotas]\nvolumes = 1\n") as pumice:
        file = pumice.state_dir / "serve.log"
        settings_file(pumice).write_text(f'log_file = "{file}.own"\n')
        own = file.with_name("serve.log.own")
        pumice.launch("serve")
        pumice.log_in()
        pumice.wait(lambda: "serving" in own.read_text(), "it does not write there")
        assert pumice.log("serve") == ""
        moved = own.rename(own.with_suffix(".1"))
        pumice.call("POST", VOLUMES, {"volume": {"size": 1}})
        pumice.wait(lambda: VOLUMES in moved.read_text(), "until it is told, it goes on in the old one")
        settings_file(pumice).write_text("no settings")
        pumice.processes["serve"].send_signal(signal.SIGHUP)
        pumice.wait(lambda: own.exists() and "settings.refused" in own.read_text(), "it is not begun anew")
        assert own.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_log_file_is_made_for_whom_its_directory_belongs_to(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    file = tmp_path / "pumice.log"
    sink = logs.Sink()
    sink.use(file)
    sink.write("a line\n")
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)
    os.chown(file, 0, 0)
    sink.open_again()
    sink.end()
    assert file.stat().st_uid == 0, "what somebody chose is left alone"
    sink.use(None)


def test_a_log_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with installed("") as pumice:
        done = pumice.command("serve", PUMICE_LOG_FILE=str(tmp_path / "none" / "x.log"))
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert "cannot be written: No such file or directory" in done.stderr


def test_the_policy_file_is_read_again_even_under_its_old_name() -> None:
    with installed('log_level = "info"\n') as pumice:
        rules = pumice.state_dir / "policy.yaml"
        rules.write_text("{}\n")
        settings_file(pumice).write_text(f'policy_file = "{rules}"\n')
        pumice.launch("serve")
        pumice.log_in()
        assert pumice.http.get(VOLUMES).status_code == 200
        rules.write_text('"volume:get_all": "!"\n')
        reload(pumice, "serve", "settings.read")
        assert pumice.http.get(VOLUMES).status_code == 403
        rules.write_text("{ this is : no : policy\n")
        assert str(rules) in reload(pumice, "serve", "settings.refused")["error"]
        assert pumice.http.get(VOLUMES).status_code == 403


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[quotas\n", "cannot be read"),
        ("[api]\nmax_limit = 'many'\n", "api.max_limit"),
        ("quotas = 5\n", "quotas"),
        ("unknown = 5\n", "unknown"),
        ('[operations.deadlines]\n"volume.fly" = 5\n', "volume.fly"),
        (None, "not there any more"),
    ],
)
def test_settings_that_make_no_sense_change_nothing(toml: str | None, said: str) -> None:
    with installed("[quotas]\nvolumes = 1\n") as pumice:
        pumice.launch("serve")
        pumice.log_in()
        if toml is None:
            settings_file(pumice).unlink()
        else:
            settings_file(pumice).write_text(toml)
        assert said in reload(pumice, "serve", "settings.refused")["error"]
        assert [create(pumice), create(pumice)] == [202, 413]


@pytest.mark.real
def test_each_worker_of_the_api_reads_them_and_so_do_those_to_come(postgres: PostgresServer) -> None:
    name = postgres.take()
    with installed('log_level = "info"\n', postgres.url(name)) as pumice:
        api = pumice.launch("api", "--workers", "2")
        pumice.wait(lambda: len(lines(pumice, "api", "serving")) == 2, "they do not serve")
        settings_file(pumice).write_text('log_level = "debug"\n')
        api.send_signal(signal.SIGHUP)
        pumice.wait(lambda: len(lines(pumice, "api", "settings.read")) == 2, "not both have read them")
        assert lines(pumice, "api", "settings.read")[-1]["changed"] == ["log_level"]
        assert lines(pumice, "api", "settings.need_restart") == []
        assert pumice.answers()
    postgres.give_back(name)
