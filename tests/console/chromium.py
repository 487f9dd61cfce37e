"""Debian's Chromium, headless, as the tests of the console start it: it keeps nothing, and asks nobody."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

from playwright.async_api import Browser, async_playwright
from tests.patience import patience

PROGRAM = Path("/usr/bin/chromium")
WORDS = (
    "--no-sandbox",  # root in a container has none
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@asynccontextmanager
async def chromium(place: Path) -> AsyncIterator[Browser]:
    """One browser, whose profile and other files are below ``place``; all of it is gone in the end."""
    with patch.dict("os.environ", TMPDIR=str(place)), patch.object(tempfile, "tempdir", None):
        started = async_playwright()
        playwright = await started.__aenter__()
        try:
            browser = await playwright.chromium.launch(
                executable_path=PROGRAM, args=WORDS, env={"TMPDIR": str(place), "HOME": str(place)}
            )
        except BaseException:
            await started.__aexit__(None, None, None)
            raise
    try:
        yield browser
    finally:
        async with patience():
            await browser.close()
            await started.__aexit__(None, None, None)
