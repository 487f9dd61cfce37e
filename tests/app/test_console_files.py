"""The console's files: what a browser gets at ``/``, how large it is, and what everybody else gets there."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from pumice.api.application import Application
from pumice.api.console import files
from pumice.api.console.service import SAFE, Console

ROOT = Path(__file__).parents[2]
BUILT = files.read()
LARGEST = 300 * 1024
"""Bytes, compressed, of all that the console ever loads."""
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
Browse = Callable[..., Any]

needs_built = pytest.mark.skipif(not BUILT, reason="NO CONSOLE: scripts/setup builds it")


async def ask(path: str, built: Any = BUILT, method: str = "GET", **headers: str) -> httpx.Response:
    nothing = cast("Any", SimpleNamespace())
    service = cast("Any", SimpleNamespace(prefix="/volume/v3"))
    transport = httpx.ASGITransport(Application((service,), Console(nothing, nothing, built), nothing, None))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud:8776") as client:
        return await client.request(method, path, headers={**headers})


async def test_programs_get_the_links_that_they_always_got() -> None:
    for accept in ("*/*", "application/json", ""):
        answer = await ask("/", Accept=accept)
        assert answer.json() == {"volume": "/volume/"}
        assert answer.headers["vary"] == "Accept"
    assert (await ask("/nothing", **PAGE)).status_code == 404


async def test_without_built_files_browsers_are_told_how_to_build_them() -> None:
    for path in ("/", "/console", "/console/volumes"):
        answer = await ask(path, built={}, **PAGE)
        assert answer.status_code == 200 and "whoever runs Pumice from its sources" in answer.text
        assert answer.headers["content-security-policy"] == SAFE["content-security-policy"]


@needs_built
async def test_every_path_is_the_page_and_a_file_that_is_gone_is_none() -> None:
    assert (await ask("/", **PAGE)).headers["location"] == "/console/"
    page = await ask("/console/", **PAGE)
    assert (await ask("/console/volumes/some-id")).content == page.content
    assert page.headers["cache-control"] == "no-cache"
    assert (await ask("/console/assets/index-of-old.js")).status_code == 404
    assert (await ask("/console/..%2F..%2Fpyproject.toml")).content == page.content
    assert (await ask("/console/", method="POST")).status_code == 405
    seen = await ask("/console/", **{"If-None-Match": page.headers["etag"]})
    assert (seen.status_code, seen.content) == (304, b"")


@needs_built
async def test_files_are_kept_for_ever_and_sent_as_small_as_their_client_reads_them() -> None:
    page = (await ask("/console/")).text
    [script] = re.findall(r'src="(/console/assets/[^"]+)"', page)
    for name in ("br", "gzip"):
        answer = await ask(script, **{"Accept-Encoding": f"zstd, {name};q=0.8"})
        assert answer.headers["content-encoding"] == name
        assert int(answer.headers["content-length"]) == len(BUILT[script[9:]].encoded[name])
    plain = await ask(script, **{"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert "immutable" in plain.headers["cache-control"]
    assert plain.headers["content-type"].startswith("text/javascript")


@needs_built
def test_all_of_it_is_small() -> None:
    assert sum(len(file.encoded["gzip"]) for file in BUILT.values()) < LARGEST


@needs_built
def test_nothing_in_it_is_run_in_the_page_itself_or_loaded_from_elsewhere() -> None:
    page = BUILT[files.PAGE].plain.decode()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    for name, file in BUILT.items():
        addresses = set(re.findall(rb"https?://[\w.-]+", file.plain))
        assert addresses <= {b"http://www.w3.org"}, name


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (ROOT / "console/package-lock.json").read_text()
