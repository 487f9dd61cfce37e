"""Options of users, projects, domains and roles: what protects a thing, and what exempts a user.

They are kept among the other keys of a row, one by one: what a change does not name stays, and null unsets.
``immutable`` keeps a project, a domain or a role as it is until that is taken back, by itself
(Keystone, "Resource Options").
"""

from collections.abc import Collection, Mapping
from typing import Any

from pumice.model.errors import Forbidden
from pumice.store.resources import Row

Thing = Mapping[str, Any] | Row
"""What keeps keys beside its columns."""
IMMUTABLE = "immutable"
METHODS = ("password", "token", "application_credential")
"""The ways to log in."""


def of(row: Thing) -> dict[str, Any]:
    """The options that are set."""
    options = row["extra"].get("options")
    return {name: value for name, value in options.items() if value is not None} if options else {}


def kept(before: Thing, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a row keeps beside its columns, once those of ``extra`` are set."""
    options = {**of(before), **extra["options"]} if "options" in extra else of(before)
    return {**before["extra"], **extra, "options": options}


def refuse_change(kind: str, row: Thing, values: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Raises ``Forbidden`` for what is immutable, unless that alone is taken back."""
    if not of(row).get(IMMUTABLE):
        return
    alone = (
        not values and extra.keys() == {"options"} and extra["options"].get(IMMUTABLE, True) in (False, None)
    )
    if not alone:
        raise _immutable("update", kind, row)


def refuse_removal(kind: str, row: Thing) -> None:
    """Raises ``Forbidden`` for what is immutable."""
    if of(row).get(IMMUTABLE):
        raise _immutable("delete", kind, row)


def let_in(user: Thing, methods: Collection[str]) -> bool:
    """Whether these methods together are one of the sets that the user must log in with, where there are any.

    Methods that do not exist here count for nothing, so that they lock nobody out (Keystone's rules for MFA).
    """
    set_ = of(user)
    rules = [known for rule in set_.get("multi_factor_auth_rules", ()) if (known := {*rule} & {*METHODS})]
    if not rules or set_.get("multi_factor_auth_enabled") is False:
        return True
    return any(rule <= {*methods} for rule in rules)


def _immutable(doing: str, kind: str, row: Thing) -> Forbidden:
    return Forbidden(
        f"Unable to {doing} immutable {kind} resource: {row['id']}. "
        'Set resource option "immutable" to false first.'
    )
