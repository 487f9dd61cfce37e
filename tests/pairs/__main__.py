"""``make pairs``: every pair of verbs at every boundary of their steps, and a table. Exits 0 or 1."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from rich.console import Console
from rich.table import Table
from tests.pairs.stage import Scene, set_stage
from tests.pairs.stories import Story, pairs
from tests.pairs.trial import Outcome, tried

CONSOLE = Console(width=140)


async def main(kinds: list[str]) -> int:
    """Try the pairs of which one is of these kinds, or all of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    began = time.monotonic()
    table = Table("first", "trials", "accepted", "refused", "wrong")
    bad = 0
    with TemporaryDirectory(
        prefix="pumice-pairs-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    ) as name:
        scene = await set_stage(Path(name))
        counts: dict[str, Counter[str]] = {}
        for first, second in pairs():
            if kinds and not {first.kind, second.kind} & set(kinds):
                continue
            for what, outcome in await every(scene, Path(name), first, second):
                count = counts.setdefault(first.name, Counter())
                count["trials"] += 1
                count["accepted" if outcome.accepted else "refused"] += 1
                if outcome.wrong:
                    count["wrong"] += 1
                    bad += 1
                    CONSOLE.print(f"{first.name}, {second.name}, {what}: {outcome.wrong}", markup=False)
        for first_name, count in sorted(counts.items()):
            row = [str(count[word]) for word in ("trials", "accepted", "refused", "wrong")]
            table.add_row(first_name, *row)
        total = sum(count["trials"] for count in counts.values())
    CONSOLE.print(table)
    CONSOLE.print(f"{total} trials of {len(pairs())} pairs in {time.monotonic() - began:.0f} s, {bad} wrong")
    return 1 if bad else 0


async def every(scene: Scene, folder: Path, first: Story, second: Story) -> list[tuple[str, Outcome]]:
    """Every trial of a pair."""
    found = []
    for how in ("overtaken", "given up", "between"):
        at = 0
        while at < 30:
            stops, last = (1 if how == "between" else 300), None
            while (outcome := await tried(scene, folder, first, second, at, how, stops)) is not None:
                last = outcome
                found.append((f"{how} at {at}" + (f" for {stops}" if how == "between" else ""), outcome))
                if how != "between" or not outcome.accepted:
                    break
                stops += 1
            if last is None:
                break
            at += 1
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.pairs", description=__doc__)
    parser.add_argument("kinds", nargs="*", help="kinds of verbs: volume.revert")
    sys.exit(asyncio.run(main(parser.parse_args().kinds)))
