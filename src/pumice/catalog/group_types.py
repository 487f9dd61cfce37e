"""Types of groups: what a group of volumes may promise."""

from collections.abc import Mapping
from typing import Any

from pumice.model.errors import Conflict, Invalid
from pumice.model.group import CONSISTENT, OLDER_TYPE, GroupType
from pumice.model.ids import new_id
from pumice.model.scope import INTERNAL
from pumice.store import group_types, groups
from pumice.store.database import Transaction

Specs = Mapping[str, str | None]


def make_default(tx: Transaction) -> None:
    """Make the type of the older API's consistency groups, unless it is there."""
    if not group_types.named(tx, OLDER_TYPE):
        specs = {CONSISTENT: "<is> True"}
        create(tx, OLDER_TYPE, "Default group type for migrating cgsnapshot", is_public=True, specs=specs)


def create(tx: Transaction, name: str, description: str | None, *, is_public: bool, specs: Specs) -> GroupType:
    """A new type. Raises ``Conflict`` when there is one of that name."""
    _must_be_new(tx, name)
    type_id = new_id()
    row = {"id": type_id, "name": name, "description": description, "is_public": is_public}
    group_types.insert(tx, row | {"group_specs": dict(specs)})
    return group_types.get(tx, INTERNAL, type_id)


def update(tx: Transaction, type_id: str, changes: Mapping[str, Any]) -> GroupType:
    """Change a type's name, description or visibility. Raises ``NotFound`` or ``Conflict``."""
    known = group_types.get(tx, INTERNAL, type_id)
    if changes.get("name", known.name) != known.name:
        _must_be_new(tx, changes["name"])
    group_types.change(tx, type_id, **changes)
    return group_types.get(tx, INTERNAL, type_id)


def delete(tx: Transaction, type_id: str) -> None:
    """Forget a type. Raises ``NotFound``, or ``Invalid`` when groups have it."""
    group_types.get(tx, INTERNAL, type_id)
    if groups.have_type(tx, type_id):
        raise Invalid("Target group type is still in use.")
    group_types.delete(tx, type_id)


def set_specs(tx: Transaction, type_id: str, specs: Specs) -> None:
    """Add specs, or change them. Raises ``NotFound``."""
    known = group_types.get(tx, INTERNAL, type_id).group_specs
    group_types.change(tx, type_id, group_specs={**known, **specs})


def forget_spec(tx: Transaction, type_id: str, key: str) -> bool:
    """Forget one spec. False when there is none of that key. Raises ``NotFound``."""
    known = group_types.get(tx, INTERNAL, type_id).group_specs
    group_types.change(tx, type_id, group_specs={name: known[name] for name in known if name != key})
    return key in known


def refuse_older(tx: Transaction, type_id: str) -> None:
    """Raises ``Invalid`` for the type of the older API's consistency groups."""
    older = group_types.named(tx, OLDER_TYPE)
    if older and older.id == type_id:
        raise Invalid(
            f"Group_type {type_id} is reserved for migrating CGs to groups. Migrated group can only be "
            "operated by CG APIs."
        )


def _must_be_new(tx: Transaction, name: str) -> None:
    if group_types.named(tx, name):
        raise Conflict(f"Group Type {name} already exists.")
