"""``GET /audit``: whether anything is stuck, or unlike what it should be, by what the rows say of one another.

It is the look that schedulers have every few minutes (``loops/rows.py``), without what only a host can see of
its own: bytes, exports and machines are looked at there, and by ``pumice audit``. A look reads every volume:
each is kept for a while.
"""

from datetime import timedelta

from pumice.api.call import Call, Reply
from pumice.api.own import shapes
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.store import audit
from pumice.store.columns import now

KEPT = timedelta(seconds=60)
"""How long a look counts as the last one, whoever asks."""


async def show(call: Call) -> Reply:
    """Tell whether anything is stuck or contradicts itself, and when that was looked at."""
    last = call.ctx.audited
    if last is None or now() - last.at > KEPT:
        at = now()
        found = await call.ctx.db.read(audit.wrong_rows)
        wrong = [shapes.Wrong(kind=str(each.kind), id=each.id, text=each.words) for each in found]
        last = call.ctx.audited = shapes.Look(at=at, well=not wrong, violations=wrong)
    return Reply(shapes.Audit(audit=last).model_dump(mode="json"))


ROUTES = (Route("GET", "/audit", show, Rule("pumice:audit", ADMIN)),)
