"""Chaos: clients ask, a nemesis breaks things, and in the end everything must be as it must be.

``python -m tests.chaos --seed 7 --minutes 5``, or ``make chaos SEED=7 MINUTES=5``. Needs root and PostgreSQL.
"""

import argparse
import asyncio
import logging
import random
import sys
import time
from pathlib import Path

import structlog
from tests.chaos.run import run


def main() -> int:
    """Run it, and print the table. 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what everything is drawn from")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long things go wrong")
    parser.add_argument("--compute-hosts", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="no version before, and no end without return")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    logs = Path(".cache/chaos") / f"seed-{seed}-{time.strftime('%H%M%S')}"
    print(f"chaos: seed {seed}, {given.minutes:g} minutes", flush=True)
    verdict = asyncio.run(run(seed, given.minutes, given.compute_hosts, logs, whole=not given.short))
    verdict.show()
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
