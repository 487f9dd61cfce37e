"""Volume types: what kind of storage a tenant may ask for."""

from pumice.model.errors import NotFound
from pumice.model.ids import new_id
from pumice.model.rules import Rules
from pumice.model.scope import HOUSE, Scope
from pumice.model.volume import VolumeType
from pumice.scheduler.specs import truth
from pumice.store import types
from pumice.store.database import Transaction

get = types.get


def for_new_volume(tx: Transaction, who: Scope, name_or_id: str | None, rules: Rules) -> VolumeType:
    """The type asked for, or the default one. Raises ``NotFound``."""
    if name_or_id:
        return types.find(tx, who, name_or_id)
    return types.find(tx, who, rules.default_volume_type)


def is_multiattach(kind: VolumeType) -> bool:
    """Whether volumes of this type may be attached to several servers at once."""
    return truth(kind.extra_specs.get("multiattach", "").removeprefix("<is>"))


def make_default(tx: Transaction, rules: Rules) -> None:
    """Make the default type, unless there is one of that name."""
    try:
        types.find(tx, HOUSE, rules.default_volume_type)
    except NotFound:
        row = {
            "id": new_id(),
            "name": rules.default_volume_type,
            "description": "Default Volume Type",
            "is_public": True,
            "extra_specs": {},
        }
        types.insert(tx, row)
