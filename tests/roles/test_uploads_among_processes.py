"""Images taken in and deleted by several API processes on one directory, any of which may die at any moment."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from roles_installation import Installation
from tests.patience import PATIENCE
from tests.ports import free_port

from postgres_server import PostgresServer

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

IMAGES = "/image/v2/images"
BYTES = {"Content-Type": "application/octet-stream"}
PIECE = os.urandom(1024 * 1024)


class Doors:
    """An installation without workers, and two ways into it: ``one`` and ``two``."""

    def __init__(self, pumice: Installation) -> None:
        self.pumice = pumice
        self.one = pumice.http
        self.two = pumice.http
        self.directory = pumice.state_dir / "images"

    def create(self, client: httpx.Client | None = None) -> str:
        """An image that waits for its bytes."""
        body = {"name": "i", "disk_format": "raw", "container_format": "bare"}
        answer = (client or self.two).post(IMAGES, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def upload(self, client: httpx.Client, image: str, content: bytes = PIECE) -> int:
        return client.put(f"{IMAGES}/{image}/file", content=content, headers=BYTES).status_code

    def status(self, image: str) -> str:
        answer = self.two.get(f"{IMAGES}/{image}")
        return str(answer.json()["status"]) if answer.status_code == 200 else "gone"

    def files(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def become(self, image: str, status: str) -> None:
        self.pumice.wait(lambda: self.status(image) == status, f"the image does not become {status}")

    def writer(self, image: str) -> int | None:
        """The process that writes the image's bytes."""
        part = str(self.directory / f".{image}.part")
        for opened in Path("/proc").glob("[0-9]*/fd/*"):
            try:
                if opened.readlink() == Path(part):
                    return int(opened.parts[2])
            except OSError:  # it has just ended
                continue
        return None


def two_workers(pumice: Installation) -> Doors:
    pumice.start("api", "--workers", "2")
    pumice.log_in()
    return Doors(pumice)


def two_processes(pumice: Installation) -> Doors:
    pumice.start("api")
    pumice.log_in()
    pumice.processes["first"] = pumice.processes.pop("api")
    port = free_port()
    pumice.start("api", "--port", str(port))
    doors = Doors(pumice)
    doors.two = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, headers=pumice.http.headers)
    pumice.wait(lambda: answers(doors.two), "the second does not answer")
    return doors


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthcheck").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def pumice(postgres: PostgresServer, tmp_path: Path) -> Iterator[Installation]:
    name = postgres.take()
    installation = Installation(tmp_path, postgres.url(name))
    (tmp_path / "first.log").touch()
    yield installation
    installation.close()
    postgres.give_back(name)


@pytest.fixture
def doors(pumice: Installation) -> Iterator[Doors]:
    doors = two_processes(pumice)
    yield doors
    doors.two.close()


@pytest.mark.parametrize("open_doors", [two_workers, two_processes])
def test_an_upload_that_is_killed_is_queued_again_by_another(
    pumice: Installation, open_doors: Callable[[Installation], Doors]
) -> None:
    doors = open_doors(pumice)
    image, killed = doors.create(), threading.Event()

    def half() -> Iterator[bytes]:
        yield PIECE * 3
        killed.wait(PATIENCE)

    def upload() -> None:
        with pytest.raises(httpx.TransportError):
            doors.one.put(f"{IMAGES}/{image}/file", content=half(), headers=BYTES)

    with ThreadPoolExecutor() as threads:
        uploading = threads.submit(upload)
        try:
            pumice.wait(lambda: doors.writer(image) is not None, "nobody writes the image")
            writer = doors.writer(image)
            assert writer is not None and doors.status(image) == "saving"
            os.kill(writer, signal.SIGKILL)
        finally:
            killed.set()
        uploading.result(PATIENCE)
    doors.become(image, "queued")
    pumice.wait(lambda: doors.files() == [], "bytes are left")
    assert doors.upload(doors.two, image) == 204
    assert doors.two.get(f"{IMAGES}/{image}/file").content == PIECE
    assert doors.files() == [image]
    doors.two.close()


def test_of_two_uploads_in_two_processes_exactly_one_wins(doors: Doors) -> None:
    with ThreadPoolExecutor() as threads:
        for _ in range(20):
            image = doors.create()
            contents = [os.urandom(100_000) for _ in range(2)]
            both = [
                threads.submit(doors.upload, client, image, content)
                for client, content in zip((doors.one, doors.two), contents, strict=True)
            ]
            codes = [one.result() for one in both]
            assert sorted(codes) == [204, 409]
            assert doors.two.get(f"{IMAGES}/{image}/file").content == contents[codes.index(204)]


def test_of_an_upload_and_a_delete_in_two_processes_no_bytes_stay(doors: Doors) -> None:
    answered = set()
    with ThreadPoolExecutor() as threads:
        for n in range(30):
            image, head_start = doors.create(), threading.Event()
            uploading = threads.submit(doors.upload, doors.one, image)
            head_start.wait(0.001 * 1.25**n)  # to 0.6 s: from before the upload to after it
            assert doors.two.delete(f"{IMAGES}/{image}").status_code == 204
            answered.add(uploading.result())
            assert doors.status(image) == "gone"
    assert answered <= {204, 404, 409, 410}
    assert len(answered) > 1, "it was always the same that was first"
    doors.pumice.wait(lambda: doors.files() == [], "bytes are left")


def test_killed_among_uploads_and_deletes_it_leaves_bytes_for_active_images_only(doors: Doors) -> None:
    images: list[str] = []

    def come_and_go() -> None:
        client = httpx.Client(base_url=doors.one.base_url, headers=doors.one.headers)
        with client, contextlib.suppress(httpx.TransportError):  # until it is killed
            while True:
                image = doors.create(client)
                images.append(image)
                assert doors.upload(client, image) == 204
                if len(images) % 2:
                    assert client.delete(f"{IMAGES}/{image}").status_code == 204

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(come_and_go) for _ in range(4)]
        doors.pumice.wait(lambda: len(images) > 30, "no images are made")
        doors.pumice.kill("first")
        for one in running:
            one.result(PATIENCE)
    doors.pumice.wait(lambda: not any(name.startswith(".") for name in doors.files()), "something is left")
    statuses = {image: doors.status(image) for image in images}
    assert doors.files() == sorted(image for image, status in statuses.items() if status == "active")
    assert set(statuses.values()) <= {"active", "queued", "gone"}
    for image in doors.files():
        assert doors.two.get(f"{IMAGES}/{image}/file").content == PIECE
