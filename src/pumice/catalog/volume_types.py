"""Volume types: what kind of storage a tenant may ask for."""

from collections.abc import Mapping
from typing import Any

from pumice.model import recycling
from pumice.model.booleans import is_true
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.ids import TypeId, new_id
from pumice.model.scope import INTERNAL, Scope
from pumice.model.tunables import Tunables
from pumice.model.volume import VolumeType
from pumice.store import quotas, types
from pumice.store.columns import is_unread, now
from pumice.store.database import Transaction

get = types.get


def for_new_volume(tx: Transaction, who: Scope, name_or_id: str | None, tunables: Tunables) -> VolumeType:
    """The type asked for, else the project's default, else the installation's. Raises ``NotFound``.

    Raises ``Invalid`` where it cannot be read what the type asks for: it may be a backend, or encryption.
    """
    if name_or_id:
        kind = types.find(tx, who, name_or_id)
    else:
        kind = types.find_default(tx, who, tunables.default_volume_type)
    if is_unread(kind.extra_specs) or is_unread(kind.encryption):
        raise Invalid(f"Volume type {kind.name} cannot be read: an administrator has to write it anew.")
    return kind


def is_multiattach(kind: VolumeType) -> bool:
    """Whether volumes of this type may be attached to several servers at once."""
    return _says_yes(kind.extra_specs, "multiattach")


def refuse_encrypted_for_many(kind: VolumeType) -> None:
    """Raises ``Invalid`` where an encrypted volume would be of a type for several servers at once."""
    if is_multiattach(kind):
        raise Invalid("Invalid volume: Multiattach cannot be used with encrypted volumes.")


def _says_yes(extra_specs: Mapping[str, str], key: str) -> bool:
    """Whether a spec is ``<is>`` and a word for yes: Cinder's ``volume_utils.is_boolean_str``."""
    words = extra_specs.get(key, "").split()
    return len(words) == 2 and words[0] == "<is>" and is_true(words[1])


MIN_SIZE, MAX_SIZE = "provisioning:min_vol_size", "provisioning:max_vol_size"


def _refuse_senseless(extra_specs: Mapping[str, str]) -> None:
    """Raises ``Invalid`` for specs that could never have the effect that they are written for."""
    recycling.refuse_senseless(extra_specs)
    for key in (MIN_SIZE, MAX_SIZE):
        limit = extra_specs.get(key, "0")
        if not (limit.isascii() and limit.isdigit()):
            raise Invalid(f"Invalid input received: '{key}' is a whole number of GiB, and not '{limit[:50]}'.")
    least, most = extra_specs.get(MIN_SIZE, "1"), extra_specs.get(MAX_SIZE)
    if most is not None and int(least) > int(most):
        raise Invalid(f"Invalid input received: no volume has at least {least} and at most {most} GiB.")
    if _says_yes(extra_specs, "cacheable") and _says_yes(extra_specs, "multiattach"):
        raise Invalid("cacheable cannot be set with multiattach.")


def refuse_size(kind: VolumeType, size: int) -> None:
    """Raises ``Invalid`` for a size (GiB) that the type forbids."""
    for key, is_wrong, words in (
        (MIN_SIZE, int.__lt__, "less than the minimum required size"),
        (MAX_SIZE, int.__gt__, "greater than the maximum allowable size"),
    ):
        limit = kind.extra_specs.get(key, "")
        if limit.isascii() and limit.isdigit() and is_wrong(size, int(limit)):
            raise Invalid(
                f"Specified volume size of '{size}' is {words} of '{limit}' for volume type '{kind.name}'."
            )


def zones_for(kind: VolumeType, wanted: str | None, default: str) -> list[str]:
    """The availability zones that a new volume may be in. Raises ``Invalid`` for one that the type forbids."""
    allowed = [zone.strip() for zone in kind.extra_specs.get("RESKEY:availability_zones", "").split(",")]
    allowed = [zone for zone in allowed if zone]
    if wanted and allowed and wanted not in allowed:
        raise Invalid(f"Volumes of type '{kind.name}' are in {' or '.join(allowed)}, and not in '{wanted}'.")
    return [wanted] if wanted else allowed or [default]


def make_default(tx: Transaction, tunables: Tunables) -> None:
    """Make the default type, unless there is one of that name."""
    try:
        types.find(tx, INTERNAL, tunables.default_volume_type)
    except NotFound:
        create(tx, tunables.default_volume_type, "Default Volume Type", is_public=True, extra_specs={})


def by_id(tx: Transaction, who: Scope, type_id: str) -> VolumeType:
    """A type that the caller may use, by its id alone. Raises ``NotFound``."""
    kind = types.find(tx, who, type_id)
    if kind.id != type_id:
        raise NotFound("Volume type", type_id)
    return kind


def create(
    tx: Transaction, name: str, description: str | None, *, is_public: bool, extra_specs: Mapping[str, str]
) -> VolumeType:
    """A new type. Raises ``Conflict`` when there is one of that name, ``Invalid`` for senseless specs."""
    _must_be_new(tx, name)
    _refuse_senseless(extra_specs)
    type_id = TypeId(new_id())
    row = {
        "id": type_id,
        "name": name,
        "description": description,
        "is_public": is_public,
        "extra_specs": dict(extra_specs),
    }
    types.insert(tx, row)
    return by_id(tx, INTERNAL, type_id)


def update(tx: Transaction, type_id: str, changes: Mapping[str, Any]) -> VolumeType:
    """Change a type's name, description or visibility; what is counted under its name moves along.

    Raises ``NotFound`` or ``Conflict``.
    """
    kind = by_id(tx, INTERNAL, type_id)
    name = changes.get("name", kind.name)
    if name != kind.name:
        _must_be_new(tx, name)
        quotas.rename_type(tx, kind.name, name)
    types.change(tx, type_id, **changes)
    return by_id(tx, INTERNAL, type_id)


def delete(tx: Transaction, type_id: str, tunables: Tunables) -> None:
    """Forget a type. Raises ``NotFound``, or ``Invalid`` when it is in use or anybody's default."""
    kind = by_id(tx, INTERNAL, type_id)
    if projects := [project for project, default in types.defaults(tx).items() if default == type_id]:
        raise Invalid(
            f"The volume type {type_id} is the default volume type of projects and cannot be deleted: "
            f"{', '.join(projects)}."
        )
    if kind.name == tunables.default_volume_type:
        raise Invalid(f"The volume type {type_id} is the default volume type and cannot be deleted.")
    if types.is_used(tx, type_id):
        raise Invalid("Target volume type is still in use.")
    quotas.forget_type(tx, kind.name)
    types.delete(tx, type_id)


def encrypt(tx: Transaction, type_id: str, encryption: Mapping[str, Any]) -> dict[str, Any]:
    """Have volumes of a type encrypted from now on. Raises ``NotFound`` or ``Invalid``."""
    kind = by_id(tx, INTERNAL, type_id)
    if types.has_volumes(tx, type_id):
        raise Invalid("Cannot create encryption specs. Volume type in use.")
    if kind.encryption:
        raise Invalid(f"Volume type encryption for type {type_id} already exists.")
    fresh = {"encryption_id": new_id(), "created_at": now().isoformat(timespec="microseconds")}
    types.change(tx, type_id, encryption={**encryption, **fresh})
    return {**encryption, **fresh}


def change_encryption(tx: Transaction, type_id: str, changes: Mapping[str, Any]) -> None:
    """Encrypt otherwise. Raises ``NotFound``, or ``Invalid`` once there are volumes of the type."""
    encryption = _encryption(tx, type_id, "update")
    updated = {"updated_at": now().isoformat(timespec="microseconds")}
    types.change(tx, type_id, encryption={**encryption, **changes, **updated})


def decrypt(tx: Transaction, type_id: str) -> None:
    """Have volumes of a type encrypted no more. Raises as ``change_encryption``."""
    _encryption(tx, type_id, "delete")
    types.change(tx, type_id, encryption=None)


def _encryption(tx: Transaction, type_id: str, doing: str) -> dict[str, Any]:
    kind = by_id(tx, INTERNAL, type_id)
    if types.has_volumes(tx, type_id):
        raise Invalid(f"Cannot {doing} encryption specs. Volume type in use.")
    if not kind.encryption:
        raise NotFound("Volume type encryption for type", type_id)
    return kind.encryption


def set_extra_specs(tx: Transaction, type_id: str, extra_specs: Mapping[str, str]) -> None:
    """Change what pools must be capable of.

    Raises ``Invalid`` once volumes have been placed by it, and for senseless specs. How long what is deleted is
    kept places nothing, and can be changed at any time.
    """
    places = {key: value for key, value in extra_specs.items() if key != recycling.DAYS}
    before = by_id(tx, INTERNAL, type_id).extra_specs
    is_same = places == {key: value for key, value in before.items() if key != recycling.DAYS}
    if not is_same and types.is_used(tx, type_id):
        raise Invalid("Volume Type is currently in use.")
    _refuse_senseless(extra_specs)
    types.change(tx, type_id, extra_specs=dict(extra_specs))


def add_access(tx: Transaction, type_id: str, project: str) -> None:
    """Let a project use a private type. Raises ``NotFound``, ``Invalid`` or ``Conflict``."""
    _must_be_private(by_id(tx, INTERNAL, type_id))
    if project in types.projects_with_access(tx, type_id):
        raise Conflict(f"Volume type access for {type_id} / {project} combination already exists.")
    types.add_access(tx, type_id, project)


def remove_access(tx: Transaction, type_id: str, project: str) -> None:
    """Let a project no longer use a private type. Raises ``NotFound`` or ``Invalid``."""
    _must_be_private(by_id(tx, INTERNAL, type_id))
    if not types.remove_access(tx, type_id, project):
        raise NotFound("Volume type access for", f"{type_id} / {project} combination")


def _must_be_private(kind: VolumeType) -> None:
    if kind.is_public:
        raise Invalid("Type access modification is not applicable to public volume type.")


def _must_be_new(tx: Transaction, name: str) -> None:
    if types.named(tx, name):
        raise Conflict(f"Volume Type {name} already exists.")


def set_default(tx: Transaction, project_id: str, name_or_id: str) -> VolumeType:
    """Give a project a default type of its own. Raises ``Invalid`` when there is no such type."""
    try:
        kind = types.find(tx, INTERNAL, name_or_id)
    except NotFound as missing:
        raise Invalid(str(missing)) from None
    types.set_default(tx, project_id, kind.id)
    return kind
