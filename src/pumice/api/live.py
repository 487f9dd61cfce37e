"""One thing with its ETag, and answers that wait until it changes (RFC 9110, 13.1.2; RFC 7240, 4.3).

    GET /volume/v3/volumes/ID            200  ETag: "x"
    GET …  If-None-Match: "x"            304 at once, or 200 with what it has become
    GET …  If-None-Match: "x"            200 as soon as it changes, 404 as soon as it is gone,
           Prefer: wait=30               304 when 30 seconds are over; Preference-Applied: wait=30

Who does not say which answer it has is answered at once: what it would wait for may have been before it asked.
A thing is what is shown of it: its ETag is a digest of the answer, and what is waited for is a change of
whatever the answer names by its id. A wait holds neither a connection of the database nor anybody's turn.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import blake2b

from pumice.api.call import Call, Reply
from pumice.model.errors import Invalid

_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WAIT = re.compile(r'wait\s*=\s*"?(\d+)"?', re.ASCII)
_TAG = re.compile(r'(?:W/)?("[^"]*")')
MOST_NAMED = 64
"""The most things named by an answer whose changes are waited for."""


async def answer(call: Call, show: Callable[[], Awaitable[Reply]]) -> Reply:
    """What ``show`` answers, with its ETag, or 304 where the client has that; after the wait it asked for.

    ``show`` makes the answer anew, its body in bytes, and judges anew who may have it.
    """
    changes = call.ctx.changes
    began = changes.number
    reply, tag = _tagged(await show())
    if not _matches(call.headers.get("if-none-match", ""), tag):
        return reply
    seconds = min(preferred_wait(call.headers), call.ctx.tunables.api_longest_wait)
    if seconds <= 0:
        return _unchanged(tag)
    with changes.place(call.who.project_id, call.ctx.tunables) as free:
        if not free:
            return _unchanged(tag)
        applied = {"Preference-Applied": f"wait={seconds:g}"}
        until, known = time.monotonic() + seconds, tag
        while tag == known:
            paused = time.monotonic()
            woken = await changes.wait(_named(call, reply), began, until - paused, call.gone)
            call.waited += time.monotonic() - paused
            if call.is_gone:
                raise Invalid("The client went away before the request was answered.")
            if not woken:
                return _unchanged(tag, applied)
            began = changes.number
            reply, tag = _tagged(await show())
        return replace(reply, headers={**reply.headers, **applied})


def preferred_wait(headers: Mapping[str, str]) -> float:
    """The seconds for which a request would rather wait; 0 where it says none that can be read."""
    for preference in headers.get("prefer", "").split(","):
        if found := _WAIT.fullmatch(preference.partition(";")[0].strip().lower()):
            return float(found[1][:6])
    return 0.0


def _matches(header: str, tag: str) -> bool:
    """Whether ``If-None-Match`` names this tag."""
    return header.strip() == "*" or tag in _TAG.findall(header)


def _tagged(reply: Reply) -> tuple[Reply, str]:
    assert isinstance(reply.body, bytes)
    tag = f'"{blake2b(reply.body, digest_size=12).hexdigest()}"'
    return replace(reply, headers={**reply.headers, "ETag": tag}), tag


def _unchanged(tag: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=304, headers={"ETag": tag, **(headers or {})})


def _named(call: Call, reply: Reply) -> set[str]:
    """The ids of what is shown: those that the path names, and the answer."""
    ids = dict.fromkeys(found.decode() for found in _UUID.findall(reply.body))
    return {*call.args.values(), *list(ids)[:MOST_NAMED]}
