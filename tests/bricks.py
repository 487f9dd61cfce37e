"""A real os-brick, in a process of its own: it connects what a client is told, reads there, and disconnects."""

import json
import subprocess
import sys

from tests.patience import PATIENCE

_CONNECT = """
import json, sys
from os_brick import privileged
from os_brick.initiator.connector import InitiatorConnector
privileged.default.set_client_mode(False)  # it is root, and asks no other process
info = json.load(sys.stdin)
brick = InitiatorConnector.factory(info["driver_volume_type"].upper(), "", conn=info)
found = brick.connect_volume(info)
with open(found["path"], "rb") as volume:
    begins = volume.read(16)
brick.disconnect_volume(info, found)
print(json.dumps([found, begins.hex()]))
"""


def os_brick_connects(info: dict[str, object], *before: str) -> tuple[dict[str, object], bytes]:
    """What it makes of connection info, and the first 16 bytes there. ``before`` starts its process."""
    words = [*before, sys.executable, "-W", "ignore", "-c", _CONNECT]
    done = subprocess.run(words, input=json.dumps(info), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    found, begins = json.loads(done.stdout)
    return found, bytes.fromhex(begins)
