"""Look at what may hang from a child process: one that does not come back is left behind, and holds nothing."""

import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def each(looks: Sequence[Callable[[], T]], seconds: float) -> list[T | None]:
    """What the looks found, all at once; None of one that has not within ``seconds``.

    What one raises is raised. To be called while this process has no other threads.
    """
    children = [_begin(look) for look in looks]
    give_up = time.monotonic() + seconds
    return [_end(pid, answer, give_up) for pid, answer in children]


def _begin(look: Callable[[], T]) -> tuple[int, int]:
    answer, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        return pid, answer
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for inherited in (0, 1, 2):
            os.dup2(nowhere, inherited)
        try:
            found: object = look()
        except Exception as error:
            found = error
        os.write(write, pickle.dumps(found))
    finally:
        os._exit(0)


def _end(pid: int, answer: int, give_up: float) -> T | None:
    try:
        select.select([answer], [], [], max(give_up - time.monotonic(), 0.0))
        os.set_blocking(answer, False)
        told = os.read(answer, 65536)
    except BlockingIOError:
        os.kill(pid, signal.SIGKILL)  # which ends it as soon as the kernel lets go of it
        return None
    finally:
        os.close(answer)
    os.waitpid(pid, 0)
    found = pickle.loads(told)  # noqa: S301 (our own child's)
    if isinstance(found, Exception):
        raise found
    return found  # type: ignore[no-any-return]
