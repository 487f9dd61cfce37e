"""``python -m benchmarks.trips``: what PostgreSQL is asked for each thing that a user asks for.

A process for each role, each behind a wire that counts what goes by: *statements*, BEGIN and COMMIT included,
and *trips*, how often a process waits for an answer. What the API's processes ask is told apart from what
carries the operation. Counts depend on nothing but the code, so a busy machine counts as a quiet one does; what
happens by the clock meanwhile (heartbeats, loops) falls out of the median. ``--told "a volume is shown"``
prints each statement of one line.
"""

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks import measures
from benchmarks.client import Connection
from benchmarks.postgres import Postgres
from benchmarks.serving import EACH, Serving

TIMES = 15
QUIET_SECONDS = 0.15
"""So long nothing is asked once all is done."""
SOCKET = ".s.PGSQL.5432"
Work = Callable[[Connection], Awaitable[object]]


@dataclass
class Asked:
    """What went by: statements, each by whom, and trips."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    trips: list[str] = field(default_factory=list)

    def by(self, is_api: bool) -> tuple[int, int]:
        """Statements and trips of the API's processes, or of all others."""
        return (
            sum((role == "api") == is_api for role, _ in self.texts),
            sum((role == "api") == is_api for role in self.trips),
        )


class Wire:
    """Passes on what processes and PostgreSQL say to each other, and counts."""

    def __init__(self, server: Path, directory: Path) -> None:
        self.server, self.directory = server, directory
        self.asked = Asked()

    async def listen(self) -> asyncio.Server:
        """Until it is closed."""
        self.directory.chmod(0o755)
        return await asyncio.start_unix_server(self._relay, self.directory / SOCKET)

    async def quiet(self) -> Asked:
        """What was asked since it was quiet last, once it is again."""
        before = -1
        while before != len(self.asked.trips):
            before = len(self.asked.trips)
            await asyncio.sleep(QUIET_SECONDS)
        asked, self.asked = self.asked, Asked()
        return asked

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self.server / SOCKET)
        asking = asyncio.create_task(self._count(reader, to_server))
        try:
            while piece := await from_server.read(65536):
                writer.write(piece)
        except OSError:
            pass
        finally:
            asking.cancel()
            writer.close()
            to_server.close()

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the messages of one connection (PostgreSQL's manual, 55.7)."""
        try:
            size = await reader.readexactly(4)
            hello = await reader.readexactly(int.from_bytes(size, "big") - 4)
            writer.write(size + hello)
            role = _role(hello)
            texts, bound = dict[bytes, str](), b""
            while True:
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
                writer.write(head + body)
                match head[:1]:
                    case b"P":
                        name, text, _ = body.split(b"\0", 2)
                        texts[name] = text.decode()
                    case b"B":
                        _, bound, _ = body.split(b"\0", 2)
                    case b"E":
                        self.asked.texts.append((role, texts.get(bound, "?")))
                    case b"Q":
                        self.asked.texts.append((role, body.strip(b"\0").decode()))
                if head[:1] in (b"S", b"Q", b"H"):
                    self.asked.trips.append(role)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()


def _role(hello: bytes) -> str:
    """The role in a connection's name: ``pumice ROLE process …``."""
    words = hello[4:].split(b"\0")
    name = words[words.index(b"application_name") + 1].decode().split() if b"application_name" in words else []
    return name[1] if len(name) > 1 and name[1] != "process" else "api"


# --- what is asked for --------------------------------------------------------------------------


async def lines(client: Connection) -> dict[str, Work]:
    """What a user asks for, by its name in the table."""
    volume = await measures.available(client)
    path = f"{measures.VOLUMES}/{volume}"
    doomed = [await measures.available(client) for _ in range(2 * TIMES)]

    async def show(one: Connection) -> None:
        (await one.ask("GET", path)).expect(200)

    async def snapshot(one: Connection) -> None:
        asked = {"snapshot": {"volume_id": volume}}
        (await one.ask("POST", f"{measures.V3}/snapshots", asked)).expect(202)

    async def delete(one: Connection) -> None:
        (await one.ask("DELETE", f"{measures.VOLUMES}/{doomed.pop()}")).expect(202)

    return {
        "a volume is created": measures.create,
        "a volume is shown": show,
        "a hundred volumes are listed": lambda one: measures.page(one, 100),
        "attachments API, cycle of 4 calls": lambda one: measures.cycle(one, volume),
        "older actions, cycle of 6 calls": lambda one: measures.older_cycle(one, volume),
        "a snapshot is made": snapshot,
        "a volume is deleted": delete,
    }


async def main(told: str | None) -> None:
    """Count, and print the table."""
    if not told:
        print("| | the API: statements | trips | the operation: statements | trips |\n|---|--:|--:|--:|--:|")
    async for name, each in counted(TIMES, told):
        counts = zip(*((*asked.by(True), *asked.by(False)) for asked in each), strict=True)
        middle = [statistics.median(it) for it in counts]
        if told:
            one = min(each, key=lambda asked: abs(len(asked.texts) - middle[0] - middle[2]))
            print("\n".join(f"{role:10} {' '.join(text.split())}" for role, text in one.texts))
        else:
            print(f"| {name} | " + " | ".join(f"{it:g}" for it in middle) + " |")


async def counted(times: int, only: str | None = None) -> AsyncIterator[tuple[str, list[Asked]]]:
    """Do each thing so often; what was asked each time."""
    postgres = await asyncio.to_thread(Postgres)
    try:
        with tempfile.TemporaryDirectory(prefix="pumice-trips-") as directory:
            wire = Wire(postgres.server.directory, Path(directory))
            url = postgres.fresh().replace(str(postgres.server.directory), directory)
            async with await wire.listen(), Serving(Path(directory) / "state", EACH, url) as serving:
                await serving.log_in()
                async with measures.clients(serving, 1) as (client,):
                    for name, work in (await lines(client)).items():
                        if only in (None, name):
                            yield name, await _done(work, client, wire, times)
    finally:
        postgres.close()


async def _done(work: Work, client: Connection, wire: Wire, times: int) -> list[Asked]:
    for _ in range(times):  # both workers of the API, all their connections
        await work(client)
    await wire.quiet()
    each = list[Asked]()
    for _ in range(times):
        await work(client)
        each.append(await wire.quiet())
    return each


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trips", description=__doc__)
    parser.add_argument("--told", help="a line of the table, whose statements are printed")
    uvloop.run(main(parser.parse_args().told))
