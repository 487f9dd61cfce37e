"""Bodies that nobody would write, to every route of Identity that takes one, by every role."""

import random

import pytest
from any_body import ask, models, some_body
from identity_cloud import Cloud, project
from test_others_domains import furnished, log_in

from databases import ON_SQLITE
from pumice.model.ids import new_id

pytestmark = ON_SQLITE


@pytest.mark.parametrize("seed", range(3))
async def test_no_body_is_answered_with_a_bug(cloud: Cloud, admin: str, seed: int) -> None:
    dice = random.Random(seed)
    domain = await furnished(cloud, admin, "one")
    callers = [
        await cloud.token("admin", {"system": {"all": True}}),
        await cloud.token("demo", project("demo")),
    ]
    callers += [admin, await cloud.token("demo", "unscoped"), "nobody"]
    callers += [await log_in(cloud, body) for body in domain.tokens.values()]
    shapes = [one for one in models() if one.__module__.startswith("pumice.api.identity")]
    things = [*domain.named.values(), "default", new_id(), "x"]
    seen = set()
    for route in cloud.service.table.routes:
        for _ in range(6 if route.method in ("POST", "PUT", "PATCH") else 0):
            body = some_body(route, shapes, dice)
            who = admin if dice.random() < 0.5 else dice.choice(callers)
            status, told = await ask(cloud.service, route, body, things, dice, who)
            seen.add(status)
            assert status < 500, (route.method, route.path, str(body)[:500], told)
    assert seen >= {201, 400, 401, 403, 404}
