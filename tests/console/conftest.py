"""A cloud of fake parts with a console, one browser for all, and whoever looks at it."""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from pumice_process import PumiceProcess, installation
from tests.console.chromium import PROGRAM, chromium
from tests.console.people import add_people
from tests.console.visitor import Visitor

from pumice.api.console import files

FAKES = {
    "PUMICE_BACKENDS": json.dumps({"fake": {"driver": "fake", "target": "fake"}}),
    "PUMICE_COMPUTE__DRIVER": "fake",
    "PUMICE_WEBHOOKS__ALLOW_NETWORKS": json.dumps(["127.0.0.0/8"]),
}
Enter = Callable[..., Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if not PROGRAM.exists():
        pytest.skip(f"needs {PROGRAM}: scripts/setup dev")
    if not (files.BUILT / files.PAGE).exists():
        pytest.skip("NO CONSOLE: scripts/setup builds it")
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def cloud() -> Iterator[PumiceProcess]:
    """One for all tests of this process: what they make stays, and is theirs by its name."""
    with installation(**FAKES) as pumice:
        pumice.start()
        add_people(pumice)
        yield pumice


@pytest_asyncio.fixture(loop_scope="session")
async def enter(browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Enter]:
    """Somebody in front of a console, logged in if a name is said. In the end they complain."""
    async with AsyncExitStack() as leaving:
        visitors: list[Visitor] = []

        async def enter(pumice: PumiceProcess, name: str = "", **browsing: object) -> Visitor:
            context = await leaving.enter_async_context(
                await browser.new_context(**browsing_of(pumice, browsing))
            )
            visitor = Visitor(pumice, context, await context.new_page())
            visitors.append(visitor)
            if name:
                await visitor.has_session_of(name)
            return visitor

        yield enter
        if kept := os.environ.get("TEST_SCREENSHOTS"):
            for number, visitor in enumerate(it for it in visitors if not it.page.is_closed()):
                await visitor.page.screenshot(path=Path(kept) / f"{request.node.name}-{number}.png")
        for visitor in visitors:
            visitor.complain()


def browsing_of(pumice: PumiceProcess, said: dict[str, object]) -> dict[str, object]:
    """How a context is: as large as a laptop's window, unless it is said otherwise."""
    usual = {
        "base_url": f"http://127.0.0.1:{pumice.port}",
        "viewport": {"width": 1280, "height": 800},
        "locale": "en-GB",
        "reduced_motion": "reduce",
    }
    return {**usual, **said}
