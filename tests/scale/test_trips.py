"""How often processes wait for PostgreSQL for each thing that a user asks for: never oftener than before.

Who adds a trip on purpose raises its line, and that of ``benchmarks/README.md``.
"""

import pytest
from benchmarks.trips import counted

MOST = {
    "a volume is created": (4, 16),
    "a volume is shown": (1, 0),
    "a hundred volumes are listed": (3, 0),
    "attachments API, cycle of 4 calls": (24, 13),
    "older actions, cycle of 6 calls": (35, 12),
    "a snapshot is made": (7, 6),
    "a volume is deleted": (6, 14),
}
"""Trips of the API's processes, and of those that carry the operation."""


@pytest.mark.real
async def test_no_request_waits_for_the_database_oftener_than_before() -> None:
    least = dict[str, tuple[int, int]]()
    async for name, each in counted(3):  # of each the quietest: heartbeats and loops ask as well
        least[name] = min(it.by(True)[1] for it in each), min(it.by(False)[1] for it in each)
    assert least.keys() == MOST.keys()
    more = {name: it for name, it in least.items() if it[0] > MOST[name][0] or it[1] > MOST[name][1]}
    assert not more, f"at most {MOST}"
