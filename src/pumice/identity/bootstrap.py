"""The first users: what an installation needs before anybody can log in. Run again, it adds what is missing.

``admin`` rules everything, ``demo`` is an ordinary member of the project ``demo``, ``pumice`` is the service's
own user. Passwords of users that exist already are left alone, and so is a catalog that names any service.

``block-storage`` has the type that the service types authority calls official; ``volumev3`` is its alias with
the project in the path, which older clients insist on.
"""

import uuid
from collections.abc import Mapping

from pumice.identity import passwords
from pumice.identity.roles import BUILT_IN
from pumice.model.ids import new_id
from pumice.store import domains, projects, roles, users
from pumice.store.database import Transaction
from pumice.store.resources import ENDPOINTS, REGIONS, SERVICES

DOMAIN = "default"
PROJECTS = ("admin", "demo", "service")

GRANTS: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "admin": (("admin", "admin"), ("admin", None)),
    "demo": (("member", "demo"), ("reader", "demo")),
    "pumice": (("admin", "service"), ("service", "service")),
}
"""Users, and their pairs of a role and a project (None: the whole system)."""

REGION = "RegionOne"
OFFERS = (
    ("identity", "keystone", "/identity", "Users, projects and tokens"),
    ("image", "glance", "/image", "Images"),
    ("compute", "nova", "/compute/v2.1", "Servers"),
    ("block-storage", "cinder", "/volume/v3", "Volumes"),
    ("pumice", "pumice", "/pumice/v1", "Operations, events, and the reason why"),
    ("volumev3", "cinderv3", "/volume/v3/%(project_id)s", "Volumes, with the project in the path"),
)
"""The services of this installation: type, the name that clients look for, path and description."""
INTERFACES = ("public", "internal", "admin")


def hashes(plain: Mapping[str, str]) -> dict[str, str]:
    """The hashes of passwords by user. Slow on purpose: done before the transaction, not in it."""
    return {user: passwords.hash_now(password) for user, password in plain.items()}


def is_needed(tx: Transaction) -> bool:
    """Whether this is the first start."""
    return domains.get(tx, DOMAIN) is None


def bootstrap(tx: Transaction, password_hashes: Mapping[str, str]) -> None:
    """Add what is missing. ``password_hashes`` is by user name (see ``hashes``); without one nobody logs in."""
    if domains.get(tx, DOMAIN) is None:
        row = {"id": DOMAIN, "name": "Default", "description": "The default domain", "enabled": True}
        domains.insert(tx, {**row, "extra": {}})
    there = {role["name"] for role in roles.named(tx, BUILT_IN)}
    for name in BUILT_IN:
        if name not in there:
            roles.insert(tx, {"id": new_id(), "name": name, "description": None, "extra": {}})
    role_ids = {role["name"]: role["id"] for role in roles.named(tx, BUILT_IN)}
    project_ids = {name: _project(tx, name) for name in PROJECTS}
    for name, pairs in GRANTS.items():
        user_id = _user(tx, name, password_hashes.get(name))
        for role, project in pairs:
            target = ("project", project_ids[project]) if project else roles.SYSTEM
            roles.give(tx, ("user", user_id), role_ids[role], target)
    if not SERVICES.matching(tx, {}):
        _write_catalog(tx)


def _write_catalog(tx: Transaction) -> None:
    if not REGIONS.matching(tx, {"id": REGION}):
        REGIONS.add(tx, {"id": REGION, "description": "", "parent_region_id": None, "extra": {}})
    for kind, name, path, description in OFFERS:
        service = {"id": _id(kind), "type": kind, "name": name, "enabled": True}
        SERVICES.add(tx, {**service, "extra": {"description": description}})
        for interface in INTERFACES:
            place = {"id": _id(f"{kind}:{interface}"), "interface": interface, "region_id": REGION, "url": path}
            ENDPOINTS.add(tx, {**place, "service_id": service["id"], "enabled": True, "extra": {}})


def _id(name: str) -> str:
    """The id of something that every installation has, the same in each."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"pumice:{name}").hex


def _project(tx: Transaction, name: str) -> str:
    row = projects.named(tx, name, domain_id=DOMAIN)
    if row is not None:
        return str(row["id"])
    project_id = new_id()
    projects.insert(
        tx,
        {
            "id": project_id,
            "domain_id": DOMAIN,
            "parent_id": DOMAIN,
            "name": name,
            "description": "",
            "enabled": True,
            "tags": [],
            "extra": {},
        },
    )
    return project_id


def _user(tx: Transaction, name: str, password_hash: str | None) -> str:
    row = users.named(tx, name, domain_id=DOMAIN)
    if row is not None:
        return str(row["id"])
    user_id = new_id()
    users.insert(
        tx,
        {
            "id": user_id,
            "domain_id": DOMAIN,
            "name": name,
            "description": None,
            "email": None,
            "enabled": True,
            "default_project_id": None,
            "password_hash": password_hash,
            "password_expires_at": None,
            "extra": {},
        },
    )
    return user_id
