"""kill -9 of the scheduler, of the API, and of everything with the database."""

import contextlib
import os
import signal
import threading
import time

import httpx
from tests.failures.cloud import Cloud
from tests.failures.row import Completion, Row, counted
from tests.failures.volume_process import BUSY
from tests.patience import PATIENCE
from tests.pumice_installation import VOLUMES


def scheduler_killed(cloud: Cloud, creates: int, slow: float) -> Completion:
    cloud.slow_down(slow)
    burst: list[str] = []
    posting = threading.Thread(target=lambda: burst.extend(cloud.create_all(creates)))
    posting.start()
    accepted = "SELECT count(*) FROM operations WHERE kind = 'volume.create' AND state != 'done'"
    cloud.wait(lambda: int(cloud.rows(accepted)[0]) >= creates // 4, "nothing is accepted")
    cloud.kill("scheduler")
    posting.join()
    cloud.launch("scheduler")
    cloud.settle()
    return counted(cloud.ended(VOLUMES, burst), available=creates)


def no_scheduler(cloud: Cloud, creates: int, slow: float, within: float) -> Completion:
    cloud.slow_down(slow)
    cloud.stop("scheduler")
    volumes = cloud.create_all(creates)
    began = time.monotonic()
    cloud.launch("scheduler")
    cloud.settle()
    seconds = time.monotonic() - began
    ending = counted(cloud.ended(VOLUMES, volumes), available=creates)
    return Completion(f"{ending.words}, {seconds:.1f} s after its start", ending.kept and seconds < within)


def everything_killed(cloud: Cloud, creates: int, slow: float) -> Completion:
    cloud.slow_down(slow)
    volumes = cloud.create_all(creates)
    cloud.wait_until_busy("volume", BUSY)
    cloud.kill_everything()
    cloud.postgres.start()
    cloud.start_all()
    cloud.settle()
    return counted(cloud.ended(VOLUMES, volumes), available=creates)


def api_killed(cloud: Cloud, posts: int, kills: int) -> Completion:
    """Clients whose connection breaks ask again, and so may make one volume more than they know of."""
    cloud.slow_down(0)
    before = set(cloud.rows("SELECT id FROM volumes"))
    answered: list[str] = []

    def post(_: int) -> None:
        while True:
            with contextlib.suppress(httpx.TransportError):
                answered.append(cloud.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"])
                return

    posting = [cloud.clients.submit(post, number) for number in range(posts)]
    for kill in range(kills):
        cloud.wait(lambda: len(answered) >= posts * kill // kills, "the API does not come back")  # noqa: B023
        cloud.wait(lambda: bool(cloud.api_workers()), "no worker is started again")
        os.kill(cloud.api_workers()[-1], signal.SIGKILL)
    for one in posting:
        one.result()
    cloud.settle()
    made = set(cloud.rows("SELECT id FROM volumes")) - before
    lost = len(set(answered) - made)
    ended = cloud.ended(VOLUMES, made)
    words = f"{len(answered)} answered, {lost} of them lost; {counted(ended).words}"
    return Completion(words, (len(answered), lost) == (posts, 0) and ended == {"available": len(made)})


ROWS = (
    Row(
        "kill -9 of the scheduler in a burst of 250 creates",
        "166 error",
        "250 available",
        scheduler_killed,
        {"creates": 250, "slow": 1.5},
        {"creates": 40, "slow": 0.5},
    ),
    Row(
        "100 creates posted while no scheduler runs",
        "55 error, 64 s to settle",
        "100 available within 10 s of its start",
        no_scheduler,
        {"creates": 100, "slow": 1.0, "within": 10},
        {"creates": 20, "slow": 0.5, "within": PATIENCE},
    ),
    Row(
        "everything, database included, killed with 50 creates queued",
        "50 creating for ever (broker killed)",
        "50 available",
        everything_killed,
        {"creates": 50, "slow": 1.5},
        {"creates": 20, "slow": 0.5},
    ),
    Row(
        "kill -9 of an API process during 350 POSTs, 10 times",
        "8 quota reservations leaked, 4 orphan rows",
        "quota equals rows, 0 orphans",
        api_killed,
        {"posts": 350, "kills": 10},
        {"posts": 60, "kills": 2},
    ),
)
