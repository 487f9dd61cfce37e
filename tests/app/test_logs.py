"""The log: it never fails what is being logged, and it can be followed from a request to a command line."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from pumice.app import logs
from pumice.app.settings import Settings
from pumice.host import loggers
from pumice.host.command import run
from pumice.loops import heartbeats
from pumice_installation import IMAGES, VOLUMES, Installation, state_directory


def test_a_log_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    logs.set_up(Settings(log_format="json"))
    log = structlog.get_logger("pumice.test")
    log.warning("seen")
    logs.end()
    assert '"event": "seen"' in closed.getvalue()
    closed.close()
    log.warning("dropped")
    logs.end()


def test_the_log_goes_where_standard_error_goes_now(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up(Settings(log_format="json"))
    log = structlog.get_logger("pumice.test")
    log.warning("first")
    logs.end()
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    log.warning("second")
    logs.end()
    assert '"event": "second"' in later.getvalue()


def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that share their standard error, as the API's workers do, must not write into each other's."""
    logs.set_up(Settings(log_format="json"))
    stderr, written = io.StringIO(), list[str]()
    monkeypatch.setattr(stderr, "write", written.append)
    monkeypatch.setattr(sys, "stderr", stderr)
    structlog.get_logger("pumice.test").warning("whole")
    logs.end()
    assert [line[-1] for line in written] == ["\n"]


def test_a_log_that_hangs_holds_nobody_up_and_tells_what_it_lost(tmp_path: Path) -> None:
    """A pipe that nobody empties takes no more after a while, as a disk that hangs takes nothing."""
    pipe, asked = tmp_path / "log", logs.MOST_LINES + 3000
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    logs.set_up(Settings(log_format="json", log_file=pipe))
    log = structlog.get_logger("pumice.test")
    for number in range(asked):
        log.warning("said", number=number)
    os.set_blocking(reader, True)
    with os.fdopen(reader) as read:
        numbers, lost = list[int](), 0
        while len(numbers) + lost < asked:
            line = json.loads(read.readline())
            lost += line.get("lines", 0)
            numbers += [line["number"]] if line["event"] == "said" else []
        log.warning("after")
        assert json.loads(read.readline())["event"] == "after"
    logs.set_up(Settings(log_format="json"))
    assert 0 < lost < 3000
    assert numbers == sorted(numbers)


def test_a_file_that_is_moved_away_has_what_was_said_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.set_up(Settings(log_format="json", log_file=path))
    log = structlog.get_logger("pumice.test")
    for number in range(100):
        log.warning("before", number=number)
    logs.end()
    path.rename(tmp_path / "log.1")
    log.warning("still before")
    logs.open_again()
    log.warning("after")
    logs.set_up(Settings(log_format="json"))
    assert len((tmp_path / "log.1").read_text().splitlines()) == 101
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["after"]


RECORDER = """#!/bin/sh
echo "$OS_REQUEST_ID $PUMICE_OPERATION_ID $1" >> {record}
exec {real} "$@"
"""


def test_one_request_can_be_followed_from_http_to_the_driver_s_command_line(tmp_path: Path) -> None:
    """A volume from an image: the request, its operation, each step and qemu-img itself say the same id."""
    real, record, tools = shutil.which("qemu-img"), tmp_path / "record", tmp_path / "bin"
    assert real is not None
    tools.mkdir()
    (tools / "qemu-img").write_text(RECORDER.format(record=record, real=real))
    (tools / "qemu-img").chmod(0o755)
    subprocess.run([real, "create", "-q", "-f", "qcow2", tmp_path / "image", "1M"], check=True)
    with state_directory() as state:
        pumice = Installation(
            state,
            PUMICE_BACKENDS='{"files": {"driver": "files", "target": "fake"}}',
            PUMICE_COMPUTE__DRIVER="none",
            PUMICE_IMAGE_CACHE__ENABLED="false",  # which makes a base by an operation of its own
            PUMICE_LOG_LEVEL="debug",
            PUMICE_LOG_FORMAT="json",
            PATH=f"{tools}:{os.environ['PATH']}",
        )
        try:
            request_id = volume_from(pumice, (tmp_path / "image").read_bytes())
            pumice.wait(lambda: "operation.ended" in pumice.log("serve"), "it is not logged")
            told = [json.loads(line) for line in pumice.log("serve").splitlines() if line.startswith("{")]
        finally:
            pumice.close()
    about = [line for line in told if line.get("request_id") == request_id]
    (asked,) = [line for line in about if line["event"] == "api.request"]
    assert (asked["method"], asked["path"], asked["status"]) == ("POST", VOLUMES, 202)
    assert asked["project"] and asked["seconds"] > 0
    (operation_id,) = {line["operation"] for line in about if "operation" in line}
    steps = [line["step"] for line in about if line["event"] == "operation.step"]
    assert steps[0] == "claim_space" and "publish" in steps
    ran = [line for line in about if line["event"] == "command.ended"]
    assert [line["command"][1] for line in ran] == ["check", "convert"]
    assert "-p" in ran[1]["command"] and ran[1]["code"] == 0 and ran[1]["seconds"] >= 0
    assert all(
        line["step"] in steps and line["kind"] == "volume.create" and line["attempt"] == 1 for line in ran
    )
    assert record.read_text().splitlines()[-2:] == [
        f"{request_id} {operation_id} {word}" for word in ("check", "convert")
    ]


def volume_from(pumice: Installation, image: bytes) -> str:
    """Make a volume from an image; the id of the request that asked for it."""
    pumice.launch("serve")
    pumice.log_in()
    pumice.wait(lambda: pumice.is_up("volume"), "its backend does not come up")
    wanted = {"name": "i", "disk_format": "qcow2", "container_format": "bare"}
    image_id = pumice.call("POST", IMAGES, wanted)["id"]
    headers = {"Content-Type": "application/octet-stream"}
    assert pumice.http.put(f"{IMAGES}/{image_id}/file", content=image, headers=headers).status_code == 204
    answer = pumice.http.post(VOLUMES, json={"volume": {"size": 1, "imageRef": image_id}})
    assert answer.status_code == 202, answer.text
    pumice.becomes(f"{VOLUMES}/{answer.json()['volume']['id']}", "volume", "available")
    return str(answer.headers["x-openstack-request-id"])


async def test_a_command_s_words_are_logged_only_where_they_are_public(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.set_up(Settings(log_format="json", log_level="debug"))
    await run("echo", "hush", timeout=60)
    await run("echo", "aloud", timeout=60, public=True)
    logs.end()
    first, second = [json.loads(line) for line in written.getvalue().splitlines()]
    assert (first["command"], second["command"]) == (["echo"], ["echo", "aloud"])
    assert "hush" not in written.getvalue()


def test_the_level_can_be_changed_under_loggers_that_were_used_before(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    log = structlog.get_logger("pumice.test")
    for level in ("info", "debug", "warning"):
        logs.set_up(Settings(log_format="json", log_level=level))
        log.debug(f"debug at {level}")
        log.info(f"info at {level}")
    logs.end()
    said = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert said == ["info at info", "debug at debug", "info at debug"]


def test_each_logger_has_a_level_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.set_up(Settings(log_format="json", log_level="warning"))
    one, below, other = (structlog.get_logger(f"pumice.{name}") for name in ("test", "test.below", "tests"))
    for log in (one, below, other):
        log.info("not said")
    loggers.set_levels("pumice.test.", "DEBUG")
    loggers.set_levels("pumice.tests", "ERROR")
    for log in (one, below, other):
        log.warning("warned")
        log.debug("said")
    logs.end()
    said = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [(line["logger"], line["event"]) for line in said] == [
        ("pumice.test", "warned"),
        ("pumice.test.below", "warned"),
        ("pumice.test.below", "said"),
    ]
    logs.set_up(Settings(log_format="json", log_level="warning"))
    levels = loggers.levels()
    assert {levels[f"pumice.{name}"] for name in ("test", "test.below", "tests")} == {"WARNING"}


def test_a_logger_of_ours_is_known_before_it_says_anything() -> None:
    assert heartbeats.logger
    assert "pumice.loops.heartbeats" in loggers.levels()
