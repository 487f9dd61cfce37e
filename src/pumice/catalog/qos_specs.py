"""QoS specs: how fast the volumes of a type may be, and who sees to it."""

from collections.abc import Collection

from pumice.catalog import volume_types
from pumice.model import qos
from pumice.model.errors import Conflict, Invalid, NotFound
from pumice.model.ids import new_id
from pumice.model.qos import QosSpecs, Specs
from pumice.model.scope import INTERNAL
from pumice.store import qos_specs, types
from pumice.store.database import Transaction


def create(tx: Transaction, name: str, consumer: str, specs: Specs) -> QosSpecs:
    """New QoS specs. Raises ``Conflict`` where the name is taken, ``Invalid`` for impossible limits."""
    if qos_specs.named(tx, name):
        raise Conflict(f"QoS Specs {name} already exists.")
    qos.refuse(consumer, specs)
    specs_id = new_id()
    qos_specs.insert(tx, {"id": specs_id, "name": name, "consumer": consumer, "specs": dict(specs)})
    return qos_specs.get(tx, specs_id)


def update(tx: Transaction, specs_id: str, consumer: str | None, specs: Specs) -> None:
    """Change the consumer, and add or change keys. Raises ``NotFound`` or ``Invalid``."""
    known = qos_specs.get(tx, specs_id)
    _write(tx, specs_id, consumer or known.consumer, {**known.specs, **specs})


def delete_keys(tx: Transaction, specs_id: str, keys: Collection[str]) -> None:
    """Forget keys, all or none. Raises ``NotFound``, or ``Invalid`` where the rest makes no sense."""
    known = qos_specs.get(tx, specs_id)
    for key in keys:
        if key not in known.specs:
            raise NotFound(f"QoS specs {specs_id}'s key", key)
    _write(tx, specs_id, known.consumer, {key: value for key, value in known.specs.items() if key not in keys})


def _write(tx: Transaction, specs_id: str, consumer: str, specs: Specs) -> None:
    qos.refuse(consumer, specs)
    qos_specs.change(tx, specs_id, consumer=consumer, specs=dict(specs))


def delete(tx: Transaction, specs_id: str, *, force: bool) -> None:
    """Forget QoS specs; with ``force`` also where types have them. Raises ``NotFound`` or ``Invalid``."""
    qos_specs.get(tx, specs_id)
    if names := qos_specs.types_of(tx, specs_id).values():
        if not force:
            raise Invalid(f"Qos specs still in use by volume types: {', '.join(sorted(names))}.")
        qos_specs.disassociate(tx, specs_id)
    qos_specs.delete(tx, specs_id)


def associate(tx: Transaction, specs_id: str, type_id: str) -> None:
    """Give QoS specs to a volume type. Raises ``NotFound``, or ``Invalid`` where it has others."""
    qos_specs.get(tx, specs_id)
    kind = volume_types.by_id(tx, INTERNAL, type_id)
    if kind.qos_specs_id not in (None, specs_id):
        raise Invalid(
            f"Invalid volume type: Type {type_id} is already associated with another qos specs: "
            f"{kind.qos_specs_id}."
        )
    types.change(tx, type_id, qos_specs_id=specs_id)


def disassociate(tx: Transaction, specs_id: str, type_id: str | None = None) -> None:
    """Take QoS specs from a volume type, or from all. Raises ``NotFound``."""
    qos_specs.get(tx, specs_id)
    if type_id is not None:
        volume_types.by_id(tx, INTERNAL, type_id)
    qos_specs.disassociate(tx, specs_id, type_id)
