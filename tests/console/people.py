"""Who there is in the tests' cloud, and what they ask of its APIs when nobody looks at the console."""

from typing import Any

import yaml
from pumice_process import PumiceProcess
from tests.pumice_installation import VOLUMES

PROJECTS = {"admin": "admin", "demo": "demo", "reader": "demo", "stranger": "elsewhere"}
"""Whose project is which."""
_ADDED = "what the added users say"


def add_people(pumice: PumiceProcess) -> None:
    """Besides ``admin`` and ``demo``, a reader of the project demo and a member of another."""
    pumice.call("POST", "/identity/v3/projects", {"project": {"name": "elsewhere"}})
    for name, role in (("reader", "reader"), ("stranger", "member")):
        body = {"user": {"name": name, "password": _ADDED, "domain_id": "default"}}
        user = pumice.call("POST", "/identity/v3/users", body)["user"]["id"]
        [of] = pumice.call("GET", f"/identity/v3/projects?name={PROJECTS[name]}")["projects"]
        [meant] = pumice.call("GET", f"/identity/v3/roles?name={role}")["roles"]
        pumice.call("PUT", f"/identity/v3/projects/{of['id']}/users/{user}/roles/{meant['id']}")


def password_of(pumice: PumiceProcess, name: str) -> str:
    """Somebody's password."""
    first: dict[str, str] = yaml.safe_load((pumice.state_dir / "passwords.yaml").read_text())
    return first.get(name, _ADDED)


def log_in_body(pumice: PumiceProcess, name: str) -> dict[str, Any]:
    """What Keystone is sent for a token of somebody's."""
    user = {"name": name, "domain": {"id": "default"}, "password": password_of(pumice, name)}
    scope = {"project": {"name": PROJECTS[name], "domain": {"id": "default"}}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


def ask(pumice: PumiceProcess, name: str, method: str, path: str, body: Any = None) -> Any:
    """What somebody is answered by an API, which must not refuse."""
    issued = pumice.http.post("/identity/v3/auth/tokens", json=log_in_body(pumice, name))
    headers = {"X-Auth-Token": issued.headers["X-Subject-Token"]}
    answer = pumice.http.request(method, path, json=body, headers=headers)
    assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def make(pumice: PumiceProcess, owner: str, name: str, **wanted: Any) -> str:
    """A volume of 1 GiB of somebody's, accepted; its id."""
    body = {"volume": {"size": 1, "name": name, **wanted}}
    return str(ask(pumice, owner, "POST", VOLUMES, body)["volume"]["id"])


def names(pumice: PumiceProcess, owner: str) -> set[str]:
    """Of all volumes of somebody's project."""
    return {volume["name"] for volume in ask(pumice, owner, "GET", VOLUMES)["volumes"]}
