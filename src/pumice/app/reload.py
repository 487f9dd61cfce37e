"""SIGHUP: read the settings again, and take over what may change while the process runs.

Which those are says ``settings.py`` (``LIVE``); ``pumice settings`` shows it. Whatever else was changed is
named in a warning, and waits for a restart. Settings that make no sense, or a policy file that cannot be read,
change nothing at all: the process goes on with what it had, and says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import structlog
from pydantic import BaseModel

from pumice.app import logs
from pumice.app.node import Node
from pumice.app.settings import Settings, again, is_live
from pumice.app.verbs import set_deadlines
from pumice.model.errors import Misconfigured, in_full

if TYPE_CHECKING:
    from pumice.api.policy import Policy
    from pumice.api.service import Service

logger = structlog.get_logger(__name__)

S = TypeVar("S", bound=BaseModel)


def apply(node: Node, services: "Sequence[Service]") -> Settings:
    """Read the settings again and let a whole Pumice go on with them. Returns those in force afterwards."""
    try:
        settings, left = read(node.settings)
        policies = [_policy(service, settings) for service in services]
        set_deadlines(settings.operations.deadlines)
    except Misconfigured as error:
        logger.error("settings.refused", error=in_full(error))
        return node.settings
    changed = sorted(differences(node.settings, settings))
    for service, policy in zip(services, policies, strict=True):
        service.policy = policy
    logs.set_up(settings)
    node.settings = settings
    node.ctx.tunables = node.runner.state_machine.tunables = settings.tunables()
    node.drivers = node.runner.drivers = replace(
        node.drivers,
        detach_seconds=settings.compute.detach_seconds,
        pause_seconds=settings.compute.pause_seconds,
    )
    logger.info("settings.read", changed=changed)
    if left:
        logger.warning("settings.need_restart", changed=left)
    return settings


def read(old: Settings) -> tuple[Settings, list[str]]:
    """The settings with every live change, and the names of those that need a restart.

    Raises ``Misconfigured``, as at the start.
    """
    new = again(old)
    merged = _merged(old, new)
    merged._given = new._given
    return merged, sorted(differences(merged, new))


def differences(one: BaseModel, other: BaseModel, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted names of the settings in which two sets differ."""
    for name in type(one).model_fields:
        ours, theirs = getattr(one, name), getattr(other, name)
        if isinstance(ours, BaseModel):
            yield from differences(ours, theirs, (*path, name))
        elif ours != theirs:
            yield ".".join((*path, name))


def _merged(old: S, new: S) -> S:
    """The old ones but for what is live."""
    taken = {}
    for name, field in type(old).model_fields.items():
        ours, theirs = getattr(old, name), getattr(new, name)
        if is_live(field):
            taken[name] = theirs
        elif isinstance(ours, BaseModel):
            taken[name] = _merged(ours, theirs)
    return old.model_copy(update=taken)


def _policy(service: "Service", settings: Settings) -> "Policy":
    return service.policy.reread(settings.policy_file)
