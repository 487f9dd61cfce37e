"""Debian's Chromium, headless, as the tests of the console start it: it keeps nothing, and asks nobody."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

from playwright.async_api import Browser, async_playwright
from tests.patience import patience

PROGRAM = Path("/usr/bin/chromium-headless-shell")
WORDS = (
    "--no-sandbox",  # root in a container has none
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One browser. Its profile has a socket, and so is in a directory of a short path; gone in the end."""
    with tempfile.TemporaryDirectory(prefix="pumice-", ignore_cleanup_errors=True) as place:
        started = async_playwright()
        with patch.dict("os.environ", TMPDIR=place):
            playwright = await started.__aenter__()
        try:
            own: dict[str, str | float | bool] = {"TMPDIR": place, "HOME": place}
            yield await playwright.chromium.launch(executable_path=PROGRAM, args=WORDS, env=own)
        finally:
            async with patience():
                await started.__aexit__(None, None, None)  # its browsers end with it
