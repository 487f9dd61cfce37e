"""What keeps a process with some roles from starting, as far as its settings alone tell.

Whatever starts refuses by these checks before it touches anything; the doctor tells what they say.
"""

import os
from collections.abc import Iterator

from pumice.app import tls
from pumice.app.faults import fault_point
from pumice.app.roles import EVERY, Role, refuse_alone
from pumice.app.settings import Settings
from pumice.app.verbs import check_deadlines
from pumice.model.errors import Misconfigured, in_full
from pumice.store.database import parsed


def refuse(settings: Settings, roles: frozenset[Role] = EVERY) -> None:
    """Raise ``Misconfigured`` with all that is wrong."""
    if reasons := wrong(settings, roles):
        raise Misconfigured(" ".join(reasons))


def wrong(settings: Settings, roles: frozenset[Role] = EVERY) -> list[str]:
    """What is wrong, each with what to do."""
    return list(_wrong(settings, roles))


def _wrong(settings: Settings, roles: frozenset[Role]) -> Iterator[str]:
    of_everybody = (
        lambda: refuse_alone(settings, roles),
        lambda: check_deadlines(settings.operations.deadlines),
        lambda: fault_point(settings.fault),
        lambda: parsed(settings.database()),
        lambda: _state_dir(settings),
    )
    of_the_api = (lambda: tls.context(settings), lambda: _policy(settings))
    for check in of_everybody + (of_the_api if Role.API in roles else ()):
        try:
            check()
        except Misconfigured as error:
            yield in_full(error)


def _state_dir(settings: Settings) -> None:
    path = settings.state_dir.absolute()
    place = next(it for it in (path, *path.parents) if os.path.lexists(it))
    if not place.is_dir():
        raise Misconfigured(f"{place} is no directory: choose another --state-dir.")


def _policy(settings: Settings) -> None:
    if settings.policy_file is not None:
        from pumice.api.policy import Policy

        Policy({}, settings.policy_file)
