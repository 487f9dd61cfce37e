"""``python -m benchmarks.console``: what the console weighs, when it is seen, how a long table scrolls.

The tests' browser looks at a Pumice with ``--volumes`` volumes of one project, copies of one row. It scrolls
from the first to the last by a screen in each frame; what keeps the page from answering for over 50 ms is a
long task (W3C, Long Tasks API). That is told by the clock, so whatever else runs on the machine counts as the
page's; a trace tells for how long each task had the processor.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import tempfile
import uuid
from pathlib import Path
from typing import Any

from playwright.async_api import Page, ViewportSize, expect
from tests.console.chromium import chromium

from benchmarks.serving import PASSWORD, Serving
from pumice.api.console import files

WINDOW: ViewportSize = {"width": 1280, "height": 800}
LONG = 50
"""Milliseconds."""
_SEEN_FIRST = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_SCROLL = """
async () => {
  const tasks = []
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: 'longtask' })
  const box = document.querySelector('[role=rowgroup][tabindex]')
  const frame = () => new Promise(requestAnimationFrame)
  let frames = 0, longest = 0, last = performance.now()
  while (box.scrollTop + box.clientHeight < box.scrollHeight - 1) {
    box.scrollTop += box.clientHeight
    await frame()
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    frames++
  }
  await new Promise((done) => setTimeout(done, 500))
  return { frames, longest, tasks, rows: document.querySelectorAll('[role=row]').length }
}
"""


async def main(volumes: int) -> None:
    """Measure, and print a line for each figure."""
    built = files.read()
    print(
        f"all files, compressed by gzip: {sum(len(it.encoded['gzip']) for it in built.values()) / 1024:.0f} KiB"
    )
    with tempfile.TemporaryDirectory(prefix="pumice-benchmark-") as temporary:
        place = Path(temporary)
        serving = Serving(place / "state")
        async with serving:
            await serving.log_in()
            client = await serving.client()
            body = {"volume": {"size": 1, "name": "v0"}}
            (await client.ask("POST", "/volume/v3/volumes", body)).expect(202)
            client.close()
            await asyncio.sleep(2)
        copy_a_volume(place / "state" / "pumice.db", volumes - 1)
        async with serving, chromium() as browser:
            page = await browser.new_page(base_url=f"http://127.0.0.1:{serving.port}", viewport=WINDOW)
            await look(page, volumes)


async def look(page: Page, volumes: int) -> None:
    """What a browser sees of it."""
    for when in ("with nothing kept", "again"):
        await page.goto("/console/")
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()
        painted = await (await page.wait_for_function(_SEEN_FIRST)).json_value()
        print(f"first paint, {when}: {painted:.0f} ms")
    await page.get_by_label("User").fill("demo")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("link", name="Volumes", exact=True).click()
    await expect(page.get_by_label(f"{volumes} volumes")).to_be_visible(timeout=60_000)
    await expect(page.get_by_label(f"{volumes} volumes")).to_have_text(f"{volumes:,}", timeout=60_000)
    await asyncio.sleep(1)
    seen, own = await traced(page, _SCROLL)
    over = [task for task in seen["tasks"] if task > LONG]
    print(f"{volumes:,} volumes scrolled in {seen['frames']} frames, the longest of {seen['longest']:.0f} ms;")
    print(
        f"long tasks by the clock: {len(over)}, the longest of {max(over, default=0):.0f} ms;"
        f" rows in the page: {seen['rows']}"
    )
    long = sum(task > LONG for task in own)
    print(
        f"long tasks by the processor: {long}, the longest of {max(own):.0f} ms, all of {sum(own) / 1000:.1f} s"
    )


async def traced(page: Page, script: str) -> tuple[Any, list[float]]:
    """What a script in the page gets, and of each task meanwhile for how many ms it had the processor."""
    browser = await page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    ended = asyncio.Event()
    browser.on("Tracing.dataCollected", lambda told: events.extend(told["value"]))
    browser.on("Tracing.tracingComplete", lambda _: ended.set())
    await browser.send("Tracing.start", {"categories": "toplevel,devtools.timeline"})
    seen = await page.evaluate(script)
    await browser.send("Tracing.end")
    await ended.wait()
    [thread] = {event["tid"] for event in events if event["name"] == "FireAnimationFrame"}
    tasks = [it for it in events if it["tid"] == thread and it["name"].endswith("RunTask") and "dur" in it]
    return seen, [task.get("tdur", 0) / 1000 for task in tasks]


def copy_a_volume(database: Path, times: int) -> None:
    """As many volumes more, each as the one that is there."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        columns = [row[1] for row in db.execute("PRAGMA table_xinfo(volumes)") if not row[6]]
        found = db.execute(f"SELECT {', '.join(columns)} FROM volumes").fetchone()  # noqa: S608
        row = dict(zip(columns, found, strict=True))
        places = ", ".join(f":{name}" for name in columns)
        copies = ({**row, "id": str(uuid.uuid4()), "name": f"v{number}"} for number in range(1, times + 1))
        db.executemany(f"INSERT INTO volumes ({', '.join(columns)}) VALUES ({places})", copies)  # noqa: S608


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--volumes", type=int, default=10_000)
    asyncio.run(main(words.parse_args().volumes))
