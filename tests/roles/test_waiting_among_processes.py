"""Who waits at one process is told of what another has changed, and is answered when its own one stops."""

import threading

import orjson
import pytest
from roles_installation import Installation
from tests.pumice_installation import VOLUMES

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
LONG = {"Prefer": "wait=60"}


def test_waiting_and_events_reach_across_processes(pumice: Installation) -> None:
    pumice.start_all()
    events: list[dict[str, str]] = []
    listening = threading.Event()

    def listen() -> None:
        with pumice.http.stream("GET", "/pumice/v1/events?all_projects=1") as stream:
            for line in stream.iter_lines():
                listening.set()
                if line.startswith("data: "):
                    events.append(orjson.loads(line[6:]))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert listening.wait(60)
    volume, seen = pumice.create(), []
    reply = pumice.http.get(f"{VOLUMES}/{volume}")
    while reply.status_code == 304 or reply.json()["volume"]["status"] == "creating":
        seen.append(reply.status_code)
        tag = reply.headers["ETag"]
        reply = pumice.http.get(f"{VOLUMES}/{volume}", headers={**LONG, "If-None-Match": tag})
    assert reply.json()["volume"]["status"] == "available"
    assert 304 not in seen  # which would be a word that was lost
    pumice.wait(lambda: len(events) >= 5, "the steps of another process are no events")
    steps = ["claim_space", "make_bytes", "publish"]
    assert [event["step"] for event in events] == ["", *steps, ""], "from its begin to its end"

    headers = {**LONG, "If-None-Match": reply.headers["ETag"]}
    answers: list[int] = []

    def wait() -> None:
        answers.append(pumice.http.get(f"{VOLUMES}/{volume}", headers=headers).status_code)

    waiter = threading.Thread(target=wait)
    waiter.start()
    waiter.join(0.5)
    assert pumice.stop("api") == 0, pumice.log("api")
    for thread in (waiter, listener):
        thread.join(60)
        assert not thread.is_alive()
    assert answers == [304]
