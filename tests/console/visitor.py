"""Somebody who looks at the console: finds things by what they are and how they are called, as people do."""

import os
import re
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect
from pumice_process import PumiceProcess
from tests.console.people import log_in_body, password_of

SECONDS = 60
expect.set_options(timeout=SECONDS * 1000)


class Visitor:
    """One person, in a context of a browser that shares nothing with any other."""

    def __init__(self, pumice: PumiceProcess, context: BrowserContext, page: Page) -> None:
        self.pumice, self.context, self.page = pumice, context, page
        self.home = f"http://127.0.0.1:{pumice.port}"
        self.cookie = f"pumice-{pumice.port}"
        self.faults: list[str] = []
        """What no page may do, in whatever story."""
        self.asked: list[Request] = []
        context.set_default_timeout(SECONDS * 1000)
        self.watch(page)

    def watch(self, page: Page) -> None:
        """Have a page's faults noted."""
        page.on("pageerror", lambda error: self.faults.append(f"threw: {error}"))
        page.on("console", self._said)
        page.on("request", self._asks)
        page.on("dialog", lambda dialog: self.faults.append(f"a script got in: {dialog.message}"))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"said: {message.text}")

    def _asks(self, request: Request) -> None:
        self.asked.append(request)
        if not request.url.startswith(f"{self.home}/"):
            self.faults.append(f"asked another host: {request.url}")

    def complain(self) -> None:
        """Raises ``AssertionError`` if a page did what none may do."""
        assert not self.faults

    async def keep_pictures(self, name: str) -> None:
        """Where pictures are kept (``make pictures``), two: on a telephone in the dark, on a laptop."""
        if kept := os.environ.get("TEST_SCREENSHOTS"):
            for width, height, colours in ((390, 844, "dark"), (1280, 800, "light")):
                await self.page.emulate_media(color_scheme=colours)
                await self.page.set_viewport_size({"width": width, "height": height})
                await self.page.screenshot(path=Path(kept) / f"{name}-{width}.png")

    # --- going in ---------------------------------------------------------------------------------

    async def has_session_of(self, name: str) -> None:
        """As if ``name`` had logged in before, with a token of this visitor alone."""
        answer = await self.context.request.post(
            "/console/session", data=log_in_body(self.pumice, name), headers={"X-Pumice-Console": "1"}
        )
        assert answer.status == 201, await answer.text()

    async def log_in(self, name: str, password: str | None = None) -> None:
        """By the form, from whatever page there is."""
        await self.fill("User", name)
        await self.fill("Password", password_of(self.pumice, name) if password is None else password)
        await self.press("Log in")

    async def token(self) -> str:
        """The token of the session; empty when there is none. No page can see it, only the browser."""
        for cookie in await self.context.cookies():
            if cookie["name"] == self.cookie:
                return cookie["value"]
        return ""

    # --- what a person does -----------------------------------------------------------------------

    async def open(self, place: str = "/console/") -> None:
        """Go to an address, and wait until the page has a heading."""
        await self.page.goto(place)
        await expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    async def go(self, link: str) -> None:
        """Follow a link of the frame."""
        await (
            self.page.get_by_role("navigation", name="Pages").get_by_role("link", name=link, exact=True).click()
        )
        await self.heading(link)

    async def press(self, name: str, within: Locator | None = None) -> None:
        await (within or self.page).get_by_role("button", name=name, exact=True).click()

    async def fill(self, label: str, words: str, within: Locator | None = None) -> None:
        await (within or self.page).get_by_label(label).first.fill(words)

    async def choose(self, label: str, option: str, within: Locator | None = None) -> None:
        """Of a list that may still be on its way."""
        await (within or self.page).get_by_label(label).first.select_option(label=option)

    async def dialogue(self, action: str, **said: str) -> None:
        """Answer the dialog that is there, and see it go. A name with ``_`` is a label with blanks."""
        for label, words in said.items():
            field = self.dialog.get_by_label(label.replace("_", " ")).first
            is_list = await field.evaluate("(it) => it.tagName === 'SELECT'")
            await (field.select_option(label=words) if is_list else field.fill(words))
        await self.press(action, self.dialog)
        await expect(self.dialog).to_have_count(0)

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    def panel(self, title: str) -> Locator:
        return self.page.get_by_role("region", name=title, exact=True)

    # --- what a person sees -----------------------------------------------------------------------

    async def heading(self, words: str | re.Pattern[str]) -> None:
        """Until the page is of that name."""
        await expect(self.page.get_by_role("heading", level=1, name=words)).to_be_visible()

    async def sees(self, words: str, *, exact: bool = False) -> None:
        await expect(self.main.get_by_text(words, exact=exact).first).to_be_visible()

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """What a script in the page gets."""
        return await self.page.evaluate(script, argument)
