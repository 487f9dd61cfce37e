"""A command ends when its work is done, though a call that it made hangs for good."""

import subprocess
import sys

from tests.patience import PATIENCE

HANGS = """
import time
from pumice.app.running import run
from pumice.host import bulkhead
from pumice.host.thread import in_thread
from pumice.model.errors import Retryable

bulkhead.LOOK_SECONDS = bulkhead.CUT_SECONDS = 0.1

class Backend:
    async def pools(self):
        await in_thread(time.sleep, 36000)

async def work():
    try:
        await bulkhead.Bulkheads().at("sick").walled(Backend()).pools()
    except Retryable as error:
        return error.in_full

print(run(work()))
"""


def test_a_command_tells_what_hangs_and_does_not_wait_for_it() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.endswith("\nThere was no answer within 0.1 seconds. Of sick.\n")
    assert (done.stderr, done.returncode) == ("", 0)
