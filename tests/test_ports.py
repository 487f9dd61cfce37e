"""Ports that tests are given are no other process's, and none comes again soon."""

import subprocess
import sys
from pathlib import Path

from tests import ports

ANOTHERS = "from tests.ports import free_port; print(free_port())"


def test_no_port_comes_again_before_all_others_and_none_is_another_process_s() -> None:
    mine = [ports.free_port() for _ in range(ports.EACH // 2)]
    assert len(set(mine)) == len(mine)
    argv = [sys.executable, "-c", ANOTHERS]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    blocks = {(port - ports.LOWEST) // ports.EACH for port in mine}
    assert len(blocks) == 1 and (int(done.stdout) - ports.LOWEST) // ports.EACH not in blocks
