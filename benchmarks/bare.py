"""The bare minimum: what the figures beside it could be if Pumice did nothing but what nobody can do without.

``python -m benchmarks.bare`` prints it alone.
"""

import asyncio
import sys
from typing import Any

import asyncpg
import uvloop

from benchmarks import measures
from benchmarks.client import connect
from benchmarks.postgres import Postgres
from benchmarks.serving import free_port

TIMES = 300
ECHO = "benchmarks.bare:echo"


async def echo(scope: Any, _receive: Any, send: Any) -> None:
    """Answer each request with as little as there is."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


async def commit_ms(url: str) -> float:
    """One INSERT and its COMMIT through the driver that Pumice has, flushed to the disk."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute("CREATE TABLE bare_rows (number bigint)")
        write = await connection.prepare("INSERT INTO bare_rows VALUES (1)")
        return await measures.median_ms(write.fetch, TIMES)
    finally:
        await connection.close()


async def http_ms() -> float:
    """One request over a connection that is kept, answered by the server that Pumice has."""
    port = free_port()
    words = ("-m", "uvicorn", ECHO, "--port", str(port), "--log-level", "warning", "--lifespan", "off")
    process = await asyncio.create_subprocess_exec(sys.executable, *words)
    try:
        client = await _connected(port)
        figure = await measures.median_ms(lambda: client.ask("GET", "/"), TIMES)
        client.close()
        return figure
    finally:
        process.terminate()
        await process.wait()


async def _connected(port: int) -> Any:
    while True:
        try:
            return await connect(port, {})
        except OSError:
            await asyncio.sleep(0.02)


async def figures() -> dict[str, float]:
    """Both, in milliseconds."""
    postgres = await asyncio.to_thread(Postgres)
    try:
        return {"bare_commit": await commit_ms(postgres.fresh()), "bare_http": await http_ms()}
    finally:
        postgres.close()


if __name__ == "__main__":
    for name, figure in uvloop.run(figures()).items():
        print(f"{name}: {figure:.2f} ms")
