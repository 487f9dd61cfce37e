"""``GET /events``: what operations do, as it happens (server-sent events, WHATWG HTML, 9.2).

An event is a place in the operation log: an operation has begun or ended, or a step of one was done, undone or
tried. Its id is that place's number, so a client that comes back with
``Last-Event-ID`` misses nothing that is still in the log.
"""

import time
from collections.abc import AsyncIterator

from pumice.api.call import Call, Reply
from pumice.api.feed import PAGE, Line, Stream
from pumice.api.own import shapes
from pumice.api.own.rules import all_projects
from pumice.api.policy import READER, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid, PumiceError, TooBusy
from pumice.store import logged

ALIVE_SECONDS = 15.0
"""How often a stream without events says that it is alive."""
STREAM_SECONDS = 900.0
"""After so long a stream ends, and the client comes back."""
_PARAMETERS = ("all_projects", "last_event_id")
MOST_BEHIND = 2000
"""Events that a client may be behind; then its stream ends, and it comes back for them."""


async def events(call: Call) -> Reply:
    """Stream what operations do, as server-sent events; from ``Last-Event-ID`` on, if that is said."""
    if unknown := call.query.keys() - _PARAMETERS:
        raise Invalid(f"There is no parameter '{min(unknown)}'. There are {', '.join(_PARAMETERS)}.")
    since = _last_event(call)
    stream = Stream(None if all_projects(call) else call.who.project_id)
    with call.ctx.changes.place(call.who.project_id, call.ctx.tunables) as free:
        if not free:
            raise TooBusy("Too many requests wait already: ask again later.")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Reply(_events(call, stream, since), headers=headers, content_type="text/event-stream")


def _last_event(call: Call) -> int | None:
    said = call.headers.get("last-event-id") or call.query.get("last_event_id")
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) <= 18):
        raise Invalid(f"Last-Event-ID is the id of an event, a number, and not '{said[:40]}'.")
    return int(said)


async def _events(call: Call, stream: Stream, since: int | None) -> AsyncIterator[bytes]:
    changes, feed, until = call.ctx.changes, call.ctx.feed, time.monotonic() + STREAM_SECONDS
    with changes.place(call.who.project_id, call.ctx.tunables) as free:
        if not free:
            return
        start = await feed.open(stream)
        try:
            yield b"retry: 1000\n\n"
            async for line in _earlier(call, stream, since, start):
                yield _event(line)
            while time.monotonic() < until and not changes.stopping and len(stream.lines) < MOST_BEHIND:
                if not await _may_still(call):
                    return
                seen = changes.number
                if stream.lines:
                    yield b"".join(_event(stream.lines.popleft()) for _ in range(len(stream.lines)))
                elif not await changes.wait({stream.topic}, seen, ALIVE_SECONDS, call.gone):
                    yield b": alive\n\n"
                if call.is_gone:
                    return
        finally:
            feed.close(stream)


async def _may_still(call: Call) -> bool:
    """Whether whoever listens may go on: no event is for who was shut out before it."""
    try:
        await call.judge()
        all_projects(call)
    except PumiceError:
        return False
    return True


async def _earlier(call: Call, stream: Stream, since: int | None, start: int) -> AsyncIterator[Line]:
    """What a stream that comes back has missed."""
    while since is not None and since < start:
        lines = await call.ctx.db.read(logged.lines_after, since, PAGE)
        for line in lines:
            if line["number"] <= start and stream.sees(line):
                yield line
        since = lines[-1]["number"] if lines else start


def _event(line: Line) -> bytes:
    names = ("kind", "project_id", "subject", "operation_id", "step", "direction", "outcome")
    shown = shapes.Event(**{name: line[name] for name in names}, at=line["started_at"])
    return f"id: {line['number']}\nevent: {shown.kind}\ndata: {shown.model_dump_json()}\n\n".encode()


ROUTES = (Route("GET", "/events", events, Rule("pumice:events", READER), waits=True),)
