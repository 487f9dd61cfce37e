"""A cluster of somebody's own goes with whoever had it, however that ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ceph_cluster import DAEMONS
from tests.patience import PATIENCE

pytestmark = [pytest.mark.real, pytest.mark.long]

_OWNER = """\
import time
from tests.ceph_cluster import own_cluster

with own_cluster("own") as cluster:
    print(cluster.directory, *(cluster.pid(it) for it in {daemons!r}), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_it_when_its_owner_is_killed(how: signal.Signals) -> None:
    words = [sys.executable, "-c", _OWNER.format(daemons=DAEMONS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        directory, *pids = owner.stdout.readline().split()
        owner.send_signal(how)
    subprocess.run(
        ["timeout", f"{PATIENCE:g}", "sh", "-c", f"while [ -e {directory} ]; do sleep 0.1; done"], check=True
    )
    for pid in pids:
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
