"""A short run of chaos with a fixed seed, and what must be true of its plans."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces, file systems and libvirtd need root")
@pytest.mark.timeout(900)
def test_after_a_quarter_of_a_minute_of_chaos_everything_is_as_it_must_be() -> None:
    chaos = [sys.executable, "-m", "tests.chaos", "--seed", "20", "--minutes", "0.25", "--short"]
    done = subprocess.run(chaos, cwd=HERE, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)  # the table; shown with -s, and when something is wrong
    assert done.returncode == 0


def test_a_plan_is_a_pure_function_of_its_seed() -> None:
    plans = subprocess.run(
        [sys.executable, "-c", _PRINT_PLANS], cwd=HERE, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(plans) == 3
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


_PRINT_PLANS = """
from itertools import islice
from tests.chaos.nemesis import faults
from tests.chaos.plan import steps
for seed in (1, 1, 2):
    clients = [list(islice(steps(seed, n, guests=n < 2), 200)) for n in range(4)]
    print([*clients, list(islice(faults(seed), 200))])
"""
