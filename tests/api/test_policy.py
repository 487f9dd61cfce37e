"""Every request has a rule, written on its route; what operators read of them is made from the routes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pumice.api.call import Call, Reply
from pumice.api.compute import rules as compute
from pumice.api.identity import rules as identity
from pumice.api.image import rules as image
from pumice.api.policy import ADMIN, MEMBER, Policy, Rule, Words
from pumice.api.routing import Route, checks_of
from pumice.api.volume import rules as volume
from pumice.app.policy_sample import WORDS, sample, services
from pumice.model.ids import ProjectId, UserId
from pumice.model.scope import Scope

SAMPLE = Path(__file__).parents[2] / "docs/operating/policy.yaml"

FOR_ANYBODY = {
    "Identity": {"GET /", "GET /v3", "POST /v3/auth/tokens", "POST /v3/users/{user_id}/password"},
    "Image": {"GET /", "GET /versions"},
    "Block Storage": {"GET /", "GET /v3", "GET /v3/", "GET /v3/openapi.json", "GET /v3/openapi.html"},
    "Compute": {"GET /", "GET /v2.1", "GET /v2.1/"},
    "Pumice": {"GET /", "GET /v1", "GET /v1/", "GET /v1/openapi.json", "GET /v1/openapi.html"},
}
"""What is answered without a token: version documents, and what leads to one."""


def named(route: Route) -> str:
    return f"{route.method} {route.path}" + (f" {route.action}" if route.action else "")


async def handler(_: Call) -> Reply:
    raise NotImplementedError


@pytest.mark.parametrize("api", FOR_ANYBODY)
def test_every_route_and_every_action_has_a_rule(api: str) -> None:
    routes = services()[api]
    assert {named(route) for route in routes if route.rule is None} == FOR_ANYBODY[api]
    assert all(route.action for route in routes if route.path.endswith("/action"))


def test_a_name_has_one_check() -> None:
    routes = [Route("GET", "/x", handler, Rule("x", ADMIN)), Route("POST", "/x", handler, Rule("x", MEMBER))]
    with pytest.raises(ValueError, match="x is declared with two checks"):
        checks_of(routes)


def test_a_rule_that_no_route_declares_is_not_asked() -> None:
    declared = checks_of([Route("GET", "/x", handler, Rule("x", ADMIN), also=(Rule("y", ADMIN),))])
    who = Scope(UserId("u"), "p", frozenset({"admin"}))
    assert Policy(declared).allows(Rule("y", ADMIN), who)
    with pytest.raises(KeyError):
        Policy(declared).allows(Rule("z", ADMIN), who)


def test_a_route_asks_no_rule_but_its_own() -> None:
    """Also none that another route declares, nor one whose answer is remembered."""
    one = Route("GET", "/x", handler, Rule("x", ADMIN), also=(Rule("y", ADMIN),))
    other = Route("GET", "/z", handler, Rule("z", ADMIN))
    who, policy = Scope(UserId("u"), "p", frozenset({"admin"})), Policy(checks_of([one, other]))
    assert policy.allows(Rule("z", ADMIN), who)
    assert policy.only(one.rules).allows(Rule("y", ADMIN), who)
    with pytest.raises(KeyError):
        policy.only(one.rules).allows(Rule("z", ADMIN), who)


ADMIN_OF_ALL = Scope(UserId("u"), ProjectId("p"), frozenset({"admin", "service", "manager"}))
NOBODYS = Scope(UserId("u"), ProjectId("p"), frozenset())
WITHOUT_A_ROLE = {"admin_or_owner", "owner", "admin_or_token_subject", "token_subject"}
WITHOUT_A_ROLE |= {"service_admin_or_token_subject", "system_or_domain_or_project_admin"}


@pytest.mark.parametrize("words", [volume.WORDS, compute.WORDS, image.WORDS, identity.WORDS])
def test_a_file_may_refer_to_whatever_openstacks_defaults_are_made_of(words: Words, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("".join(f'"x:{name}": "rule:{name}"\n' for name in words.rules))
    policy = Policy({f"x:{name}": "!" for name in words.rules}, file, words)
    for name in words.rules.keys() - WITHOUT_A_ROLE:
        rule = Rule(f"x:{name}", "!")
        assert (policy.allows(rule, ADMIN_OF_ALL), policy.allows(rule, NOBODYS)) == (True, False), name


def test_the_sample_is_current() -> None:
    assert SAMPLE.read_text() == sample(), "pumice policy > docs/operating/policy.yaml"


def test_the_sample_says_what_holds(tmp_path: Path) -> None:
    """With each of its lines in force, the rules are what they are without it."""
    file = tmp_path / "policy.yaml"
    file.write_text(
        "\n".join(line.removeprefix("#") for line in sample().splitlines() if line.startswith('#"'))
    )
    said: dict[str, Any] = yaml.safe_load(file.read_text())
    named = set()
    for api, routes in services().items():
        words = WORDS.get(api, Words())
        declared = words.rules | {name: words.of(check) for name, check in checks_of(routes).items()}
        assert {name: said[name] for name in declared} == declared
        Policy(checks_of(routes), file, words)
        named |= declared.keys()
    assert said.keys() == named
