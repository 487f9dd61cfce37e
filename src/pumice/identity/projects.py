"""Verbs on projects and on the domains they live in."""

from collections.abc import Mapping, Sequence
from typing import Any

from pumice.identity import options
from pumice.model import recycling
from pumice.model.errors import Forbidden, Invalid, NotFound
from pumice.store import application_credentials, domains, projects, roles, schedules, tokens, users
from pumice.store.database import Transaction
from pumice.store.projects import Row
from pumice.store.resources import GROUPS

MOST_LEVELS = 5
"""How many levels of projects there may be (Keystone's ``max_project_tree_depth``)."""


def show(tx: Transaction, project_id: str) -> Row:
    """One project. Raises ``NotFound``."""
    row = projects.get(tx, project_id)
    if row is None:
        raise NotFound("Project", project_id)
    return row


def as_project(domain: Row) -> dict[str, Any]:
    """A domain as the project that acts as one: in no domain, under nothing, with tags like any other."""
    tags = domain["extra"].get("tags", [])
    return {**domain, "is_domain": True, "domain_id": None, "parent_id": None, "tags": tags}


def show_any(tx: Transaction, project_id: str) -> Mapping[str, Any]:
    """One project, or a domain as one. Raises ``NotFound``."""
    domain = domains.get(tx, project_id)
    return as_project(domain) if domain is not None else dict(show(tx, project_id))


def change_any(
    tx: Transaction, project_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Change columns of a project, or of a domain as one, and keys of ``extra``."""
    if domains.get(tx, project_id) is None:
        return dict(change(tx, project_id, values, extra))
    tags = {"tags": values["tags"]} if "tags" in values else {}
    own = {name: value for name, value in values.items() if name != "tags"}
    return as_project(change_domain(tx, project_id, own, {**extra, **tags}))


def remove_any(tx: Transaction, project_id: str) -> None:
    """Remove a project, or a domain as one. Raises as ``remove`` and ``remove_domain``."""
    (remove if domains.get(tx, project_id) is None else remove_domain)(tx, project_id)


def parents(tx: Transaction, project_id: str) -> list[Mapping[str, Any]]:
    """What a project is under, the nearest first; its domain last."""
    found = []
    above = show_any(tx, project_id)["parent_id"]
    while above is not None:
        found.append(show_any(tx, above))
        above = found[-1]["parent_id"]
    return found


def children(tx: Transaction, project_id: str) -> Sequence[Row]:
    """The projects right under one."""
    return projects.matching(tx, {"parent_id": project_id})


def matching(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Projects whose columns have these values, by name."""
    return projects.matching(tx, wanted)


def add(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a project. Raises ``NotFound`` for its domain or parent, ``Conflict`` for its name."""
    recycling.refuse_senseless(row["extra"])
    show_domain(tx, row["domain_id"])
    if row["parent_id"] != row["domain_id"]:
        parent = show(tx, row["parent_id"])
        if parent["domain_id"] != row["domain_id"]:
            raise Invalid("A project belongs to the same domain as its parent.")
        if len(parents(tx, parent["id"])) >= MOST_LEVELS:
            raise Forbidden(f"Max hierarchy depth reached for {parent['id']} branch: {MOST_LEVELS} levels.")
    projects.insert(tx, row)
    return show(tx, row["id"])


def change(tx: Transaction, project_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Change columns of a project, and keys of ``extra``. Raises ``Forbidden`` if it is immutable."""
    recycling.refuse_senseless(extra)
    before = show(tx, project_id)
    options.refuse_change("project", before, values, extra)
    projects.update(tx, project_id, {**values, "extra": options.kept(before, extra)})
    return show(tx, project_id)


def remove(tx: Transaction, project_id: str) -> None:
    """Remove a project, the roles on it, the tokens for it, and its schedules, but nothing that those made.

    Raises ``Forbidden`` if it has children or is immutable.
    """
    options.refuse_removal("project", show(tx, project_id))
    if projects.matching(tx, {"parent_id": project_id}):
        raise Forbidden(f"Project {project_id} has other projects under it: delete those first.")
    _remove(tx, project_id)


def _remove(tx: Transaction, project_id: str) -> None:
    roles.take_all(tx, ("project", project_id))
    tokens.delete_of_project(tx, project_id)
    users.forget_default_project(tx, project_id)
    application_credentials.delete(tx, {"project_id": project_id})
    schedules.delete_of_project(tx, project_id)
    projects.delete(tx, project_id)


# --- domains ------------------------------------------------------------------------------------


def show_domain(tx: Transaction, domain_id: str) -> Row:
    """One domain. Raises ``NotFound``."""
    row = domains.get(tx, domain_id)
    if row is None:
        raise NotFound("Domain", domain_id)
    return row


def matching_domains(tx: Transaction, wanted: Mapping[str, object]) -> Sequence[Row]:
    """Domains whose columns have these values, by name."""
    return domains.matching(tx, wanted)


def add_domain(tx: Transaction, row: Mapping[str, Any]) -> Row:
    """Add a domain. Raises ``Conflict`` for its name."""
    domains.insert(tx, row)
    return show_domain(tx, row["id"])


def change_domain(tx: Transaction, domain_id: str, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Row:
    """Change columns of a domain, and keys of ``extra``. Raises ``Forbidden`` if it is immutable."""
    before = show_domain(tx, domain_id)
    options.refuse_change("domain", before, values, extra)
    domains.update(tx, domain_id, {**values, "extra": options.kept(before, extra)})
    return show_domain(tx, domain_id)


def remove_domain(tx: Transaction, domain_id: str) -> None:
    """Remove a domain with everything in it. Raises ``Forbidden`` while it is enabled or immutable."""
    domain = show_domain(tx, domain_id)
    options.refuse_removal("domain", domain)
    if domain["enabled"]:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    for group in GROUPS.matching(tx, {"domain_id": domain_id}):
        GROUPS.remove(tx, group["id"])
    for user in users.matching(tx, {"domain_id": domain_id}):
        users.delete(tx, user["id"])
    for project in projects.matching(tx, {"domain_id": domain_id}):
        _remove(tx, project["id"])
    roles.take_all(tx, ("domain", domain_id))
    domains.delete(tx, domain_id)
