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
ROUNDS = 4
"""Of each thing the quietest counts: heartbeats and loops ask as well, and oftener within what is slow."""


@pytest.mark.real
async def test_no_request_waits_for_the_database_oftener_than_before() -> None:
    least = dict.fromkeys(MOST, (9999, 9999))
    more = MOST
    for _ in range(ROUNDS):
        async for name, each in counted(3):
            asked = [least[name], *((it.by(True)[1], it.by(False)[1]) for it in each)]
            least[name] = min(api for api, _ in asked), min(carrying for _, carrying in asked)
        more = {name: it for name, it in least.items() if it[0] > MOST[name][0] or it[1] > MOST[name][1]}
        if not more:
            return
    pytest.fail(f"{more}, and at most {MOST}")
