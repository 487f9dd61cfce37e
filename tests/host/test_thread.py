"""Threads of a place: they work until enough of them hang, however few there are."""

import asyncio
import threading

import pytest
from tests.in_full import says

from pumice.host import thread
from pumice.host.thread import Threads
from pumice.model.errors import Retryable


@pytest.mark.parametrize("most", [1, 2, 3, 8])
async def test_threads_are_given_work_until_half_of_them_hang(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "HANGS_SECONDS", 0.0)
    threads, gate = Threads("a disk", most), threading.Event()
    for _ in range(3):
        assert await threads.run(lambda: "done") == "done"
    hanging = []
    for _ in range(max(most // 2, 1)):
        hanging.append(threads.run(gate.wait))
        threads.cut(hanging[-1])
    await asyncio.sleep(0.01)
    with pytest.raises(Retryable, check=says("a disk")):
        threads.run(lambda: "not begun")
    gate.set()
    await asyncio.gather(*hanging)
    assert await threads.run(lambda: "done") == "done"
