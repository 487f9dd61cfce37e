"""No request is accepted whose wish is dropped: every field of every body of every API is read by somebody.

The models are found by looking, not by a list: a field that is added and that nothing reads fails here. What a
field then does is told by the tests of its own API.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

import pumice.api
from pumice.api.identity.lists import Kept
from pumice.api.own.shapes import Shape
from pumice.store.tables import metadata

COLUMNS = {column.name for table in metadata.tables.values() for column in table.c}
"""What a ``Kept`` is written into, by its fields' names; a field that is none of them is to be read."""

ACCOUNTED = {
    "ExplainBody.volume": "a create's, and read as one",
    "ExplainBody.hints": "a create's, and read as one",
    "BlockDevice.device_name": "the guest's next name is given, and told, as Nova does on libvirt",
    "LegacyDevice.device_name": "the same",
    "BlockDevice.connection_info": "what Nova itself writes there; a client's is ignored by it too",
    "LegacyDevice.connection_info": "the same",
    "Network.port": "any network but 'none' is refused as a whole",
    "Network.fixed_ip": "the same",
    "Create.system": "may only be null",
    "UpdateBody.serverId": "must be what it is: compared by name with all the others",
    "Network.uuid": "the same",
    "Network.tag": "the same",
    "Changes.display_description": "an older name of description: taken by its ending",
    "Migrate.force_host_copy": "bytes are always copied by the hosts, as it asks for",
    "MigrateAnywhere.force_host_copy": "the same",
    "Failover.allow_attached_volume": "nothing replicates: a group's failover is refused as a whole",
    "Failover.secondary_backend_id": "the same",
    "Event.status": "answered with the event, and nobody waits for one that failed",
    "Event.tag": "the volume that it is about: answered with the event",
    "Encryption.provider": "the type keeps all four as they are, with whatever else is said",
    "Encryption.control_location": "the same",
    "Encryption.cipher": "the same",
    "Encryption.key_size": "the same",
    "NewEncryption.provider": "the same",
    "NewEncryption.control_location": "the same",
    "NewEncryption.cipher": "the same",
    "NewEncryption.key_size": "the same",
    "Create.options": "kept with what else was said, by their names: see pumice.identity.options",
    "Update.options": "the same",
    "Options.immutable": "the same",
    "UserOptions.lock_password": "the same",
    "UserOptions.ignore_lockout_failure_attempts": "the same",
    "UserOptions.ignore_password_expiry": "the same",
    "UserOptions.ignore_change_password_upon_first_use": "an exemption from what is never asked here",
    "UserOptions.ignore_user_inactivity": "the same",
    "UserOptions.multi_factor_auth_enabled": "kept whole, and heeded at each log-in by identity/options.py",
    "UserOptions.multi_factor_auth_rules": "the same",
    "Cleanup.host": "which services: none has anything to clean up",
    "Cleanup.binary": "the same",
    "Cleanup.cluster_name": "the same",
    "Cleanup.disabled": "the same",
    "Cleanup.is_up": "the same",
    "Cleanup.service_id": "the same",
    "Completion.error": "refused whatever it says: an extension ends by itself",
    "StatusUpdate.progress": "how far an operation is says the operation itself",
    "Whither.backend_id": "refused whatever it says: no backend replicates",
    "WebhookBody.webhook": "wraps what is read by its key; told in the OpenAPI document",
    "ChangeBody.webhook": "the same",
    "ChangedWebhook.new_secret": "read by its name, as what is changed is",
    **{
        f"{model}.{name}": "handed on by its name to what takes exactly these (webhooks/manage.py)"
        for model in ("NewWebhook", "ChangedWebhook")
        for name in ("url", "description", "kinds", "outcomes", "format", "enabled")
    },
    **{f"KeepBody.{name}": "kept by its name" for name in ("last", "daily", "weekly", "monthly")},
}
"""Fields that no code reads by their name, and why that drops no wish."""


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(pumice.api.__path__, "pumice.api.")
    return [importlib.import_module(module.name) for module in found]


def models() -> Iterator[tuple[ModuleType, type[BaseModel]]]:
    """Every shape of a body; not those of answers."""
    for module in modules():
        for thing in vars(module).values():
            if not inspect.isclass(thing) or thing.__module__ != module.__name__:
                continue
            if issubclass(thing, BaseModel) and not issubclass(thing, Shape):
                yield module, thing


@cache
def words(module: ModuleType) -> tuple[frozenset[str], frozenset[str]]:
    """The attributes that a module reads, and the modules it imports from."""
    tree = ast.parse(Path(inspect.getfile(module)).read_text())
    nodes = list(ast.walk(tree))
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    taken = {f"{node.module}" for node in nodes if isinstance(node, ast.ImportFrom)}
    return frozenset(read), frozenset(taken)


def handed_on(module: ModuleType) -> set[str]:
    """The models whose fields ``writes`` hands on by their names, to what takes exactly these."""
    nodes = ast.walk(ast.parse(Path(inspect.getfile(module)).read_text()))
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "writes"]
    words = [word for call in calls for word in call.keywords]
    return {word.value.id for word in words if word.arg == "body" and isinstance(word.value, ast.Name)}


def readers(owner: ModuleType) -> Iterator[ModuleType]:
    """The module of a model, and those that import from it."""
    for module in modules():
        if module is owner or owner.__name__ in words(module)[1]:
            yield module


def unread() -> Iterator[str]:
    for module, model in models():
        if model.__name__ in handed_on(module):
            continue
        read = frozenset().union(*(words(reader)[0] for reader in readers(module)))
        written = COLUMNS if issubclass(model, Kept) else set()
        yield from (f"{model.__name__}.{field}" for field in model.model_fields.keys() - read - written)


def test_every_field_of_every_body_is_read_or_accounted_for() -> None:
    assert len(list(models())) > 100
    assert set(unread()) - ACCOUNTED.keys() == set()


def test_what_is_accounted_for_exists() -> None:
    fields = {f"{model.__name__}.{field}" for _, model in models() for field in model.model_fields}
    assert ACCOUNTED.keys() <= fields
