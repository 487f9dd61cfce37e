"""A store that speaks S3 and is dead, slow, full, or not there: each is bounded and told in a sentence."""

import base64
import hashlib
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from tests.backups.troubled import Troubles, Way, troubled
from tests.in_full import says
from tests.ports import free_port
from tests.s3_server import S3Server, S3Store

from pumice.backends.backups.s3 import S3Objects
from pumice.backends.backups.s3_client import S3Access
from pumice.backends.backups.settings import BackupSettings
from pumice.model.errors import Misconfigured, NotFound, PumiceError, Retryable, TryAnotherBackend
from pumice.model.finding import Finding, Verdict

NAME = "volume_1/2/az_3_backup_4-00001"
DATA = bytes(range(256)) * 400


@pytest.fixture
def troubles(s3: S3Store) -> Iterator[Troubles]:
    with troubled(s3) as troubles:
        yield troubles


@pytest.fixture
def bucket(s3: S3Store) -> str:
    return s3.a_bucket()


@pytest.fixture
def objects(s3: S3Store, troubles: Troubles, bucket: str) -> S3Objects:
    return S3Objects(s3.access(bucket, endpoint=troubles.endpoint))


def test_a_store_that_is_busy_is_asked_again_and_then_waited_for(
    objects: S3Objects, troubles: Troubles, bucket: str
) -> None:
    troubles.first(1, lambda way: way.refuse(503, "SlowDown"))
    objects.put(bucket, NAME, DATA)
    assert troubles.asked == 2
    assert objects.get(bucket, NAME) == DATA
    troubles.first(99, lambda way: way.refuse(503, "SlowDown"))
    with pytest.raises(Retryable, check=says(r"cannot be used at the moment.*SlowDown")):
        objects.put(bucket, NAME, b"")
    assert troubles.asked == 5, "more often than was allowed"


@pytest.mark.parametrize("length", [0, 1000])
def test_an_answer_that_breaks_off_is_asked_for_again(
    objects: S3Objects, troubles: Troubles, bucket: str, length: int
) -> None:
    objects.put(bucket, NAME, DATA)

    def break_off(way: Way) -> bool:
        way.answer(200, {}, DATA[:length], len(DATA))
        return True

    troubles.first(1, break_off)
    assert objects.get(bucket, NAME) == DATA
    troubles.first(99, break_off)
    with pytest.raises(Retryable, match="at the moment"):
        objects.get(bucket, NAME)


def test_the_store_is_told_what_must_arrive(objects: S3Objects, troubles: Troubles, bucket: str) -> None:
    said: list[str | None] = []

    def refuse(way: Way) -> bool:
        said.append(way.headers.get("Content-MD5"))
        return way.refuse(400, "BadDigest")

    troubles.wrong = refuse
    with pytest.raises(Retryable, check=says("BadDigest")):
        objects.put(bucket, NAME, DATA)
    assert said == [base64.b64encode(hashlib.md5(DATA, usedforsecurity=False).digest()).decode()]


def test_a_store_that_says_nothing_is_given_up_in_time(s3: S3Store, troubles: Troubles, bucket: str) -> None:
    objects = S3Objects(s3.access(bucket, endpoint=troubles.endpoint, timeout=0.2))
    troubles.wrong = troubles.hang
    began = time.monotonic()
    for call in (lambda: objects.put(bucket, NAME, DATA), lambda: objects.get(bucket, NAME), objects.look):
        with pytest.raises(Retryable, match="at the moment"):
            call()
    assert time.monotonic() - began < 60, "it was waited for without an end"


def test_a_look_is_short_whatever_a_request_may_take(s3: S3Store, troubles: Troubles, bucket: str) -> None:
    objects = S3Objects(s3.access(bucket, endpoint=troubles.endpoint, attempts=20))
    troubles.first(99, lambda way: way.refuse(500, "InternalError"))
    with pytest.raises(Retryable):
        objects.look()
    assert troubles.asked == 1


def test_nobody_listening_is_told(s3: S3Store, bucket: str) -> None:
    with pytest.raises(Retryable, check=says("Could not connect")):
        S3Objects(s3.access(bucket, endpoint=f"http://127.0.0.1:{free_port()}", attempts=1)).look()


def test_what_is_no_http_at_all_is_told(s3: S3Store, bucket: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = listener.getsockname()[1]
        objects = S3Objects(s3.access(bucket, endpoint=f"https://127.0.0.1:{port}", attempts=1, timeout=0.2))
        with pytest.raises(PumiceError, match="The store of backups"):
            objects.look()


def test_what_the_store_refuses_is_told_with_what_to_do(
    objects: S3Objects, troubles: Troubles, bucket: str
) -> None:
    for status, code, told in (
        (403, "AccessDenied", "access is denied"),
        (403, "InvalidAccessKeyId", r"\[backup\] access_key"),
        (403, "SignatureDoesNotMatch", r"\[backup\] secret_key"),
        (403, "RequestTimeTooSkewed", "the clocks differ"),
        (400, "AuthorizationHeaderMalformed", r"\[backup\] region"),
        (400, "EntityTooLarge", r"\[backup\] chunk_mib"),
    ):
        troubles.wrong = partial(Way.refuse, status=status, code=code)
        for call in (objects.look, lambda: objects.put(bucket, NAME, b""), lambda: objects.get(bucket, NAME)):
            with pytest.raises(Misconfigured, match=told):
                call()


def test_a_full_store_is_said_to_be_full(objects: S3Objects, troubles: Troubles, bucket: str) -> None:
    troubles.wrong = lambda way: way.refuse(403, "QuotaExceeded")
    with pytest.raises(TryAnotherBackend, match="is full"):
        objects.put(bucket, NAME, DATA)


def test_a_key_that_the_store_does_not_know_is_told(s3: S3Store, bucket: str) -> None:
    with s3.strict(), pytest.raises(Misconfigured, match="access key"):
        S3Objects(s3.access(bucket, access_key="nobodys")).look()
    S3Objects(s3.access(bucket)).look()


def test_a_bucket_that_is_missing_is_told_and_never_made(s3: S3Store, bucket: str) -> None:
    objects = S3Objects(s3.access(bucket))
    objects.put(bucket, NAME, DATA)
    s3.drop(bucket)
    for call in (
        objects.look,
        lambda: objects.put(bucket, NAME, DATA),
        lambda: objects.get(bucket, NAME),
        lambda: list(objects.every([])),
    ):
        with pytest.raises(Misconfigured, match=f"{bucket} at .*no such bucket: make it"):
            call()
    objects.remove(bucket, [NAME])
    assert objects.names(bucket, "volume_") == [], "what was in it is not known to be gone"
    assert bucket not in {it["Name"] for it in s3.client.list_buckets()["Buckets"]}


def test_an_object_that_is_not_there_is_not_found_and_absent_is_removed(s3: S3Store, bucket: str) -> None:
    objects = S3Objects(s3.access(bucket))
    with pytest.raises(NotFound):
        objects.get(bucket, NAME)
    objects.remove(bucket, [NAME])


def test_backups_of_another_driver_are_told(s3: S3Store, bucket: str) -> None:
    with pytest.raises(Misconfigured, match="another driver"):
        S3Objects(s3.access(bucket)).names("ab/cd/an-id", "volume_")


def test_what_lies_in_buckets_of_before_is_listed_too(s3: S3Store, bucket: str) -> None:
    objects, before = S3Objects(s3.access(bucket)), s3.a_bucket()
    objects.put(before, NAME, DATA)
    objects.put(bucket, f".{NAME}", DATA)
    s3.client.put_object(Bucket=bucket, Key="somebody-else", Body=b"")
    assert set(objects.every([before, "ab/cd/of-posix"])) == {(before, NAME), (bucket, f".{NAME}")}


def test_more_objects_than_one_answer_holds_are_all_listed_and_removed(
    objects: S3Objects, s3: S3Store, troubles: Troubles, bucket: str
) -> None:
    def say_little(way: Way) -> bool:
        way.path += "&max-keys=2" if "list-type=2" in way.path else ""
        return False

    names, pages = [f"volume_{number}" for number in range(5)], 3
    if isinstance(s3, S3Server):
        troubles.wrong = say_little
    else:  # a real one knows a request that was changed
        names, pages = [f"volume_{number:04}" for number in range(1001)], 2
    straight = S3Objects(s3.access(bucket))
    with ThreadPoolExecutor(16) as several:
        list(several.map(lambda name: straight.put(bucket, name, b""), names))
        assert objects.names(bucket, "volume_") == names
        assert troubles.asked == pages
        list(several.map(lambda name: straight.remove(bucket, [name]), names))
    assert s3.left(bucket) == []


def test_the_store_encrypts_with_the_key_that_is_said_with_each_object(
    s3: S3Store, troubles: Troubles, bucket: str
) -> None:
    objects = S3Objects(s3.access(bucket, endpoint=troubles.endpoint, encryption_key="k" * 32))
    said: list[str | None] = []

    def listen(way: Way) -> bool:
        said.append(way.headers.get("x-amz-server-side-encryption-customer-key"))
        return False

    troubles.wrong = listen
    objects.put(bucket, NAME, DATA)
    assert objects.get(bucket, NAME) == DATA
    assert said == ["a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="] * 2


def test_no_secret_is_written_anywhere(s3: S3Store, bucket: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access = s3.access(bucket, encryption_key="k" * 32)
    objects = S3Objects(access)
    objects.put(bucket, NAME, DATA)
    objects.get(bucket, NAME)
    for secret in (access.secret_key, "k" * 32, "a2tra2tra2tra2"):
        assert secret not in caplog.text
        assert secret not in repr(access)


def test_what_surrounds_the_process_changes_nothing(
    s3: S3Store, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = http://127.0.0.1:9\nregion = nowhere\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "another")
    S3Objects(s3.access(bucket)).look()


def settings_of(access: S3Access) -> BackupSettings:
    said = {"driver": "s3", "endpoint": access.endpoint, "bucket": access.bucket, "timeout": 2}
    keys = {"access_key": access.access_key, "secret_key": access.secret_key}
    return BackupSettings.model_validate(said | keys)


async def test_the_doctor_tells_whether_the_bucket_can_be_used(s3: S3Store, bucket: str) -> None:
    async def found(access: S3Access) -> Finding:
        [probe] = settings_of(access).probes()
        told = probe.look()
        assert not isinstance(told, Finding), "it would keep the doctor from looking at the rest"
        return await told

    good = await found(s3.access(bucket))
    assert (good.verdict, good.found) == (Verdict.OK, f"bucket {bucket} at {s3.endpoint} answers")
    missing = await found(s3.access("not-there"))
    assert (missing.verdict, missing.without) == (Verdict.MISSING, "everything but backups")
    assert "no such bucket: make it" in missing.found
    nobody = await found(s3.access(bucket, endpoint=f"http://127.0.0.1:{free_port()}"))
    assert "Could not connect" in nobody.found
