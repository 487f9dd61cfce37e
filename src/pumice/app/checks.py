"""What keeps a process with some roles from starting, as far as its settings alone tell.

Whatever starts refuses by these checks before it touches anything; the doctor tells what they say.
"""

from collections.abc import Iterator

from pumice.app import tls
from pumice.app.faults import fault_point
from pumice.app.roles import EVERY, Role, refuse_alone
from pumice.app.settings import Settings
from pumice.app.verbs import check_deadlines
from pumice.model.errors import Misconfigured


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
    )
    of_the_api = (lambda: tls.context(settings), lambda: _policy(settings))
    for check in of_everybody + (of_the_api if Role.API in roles else ()):
        try:
            check()
        except Misconfigured as error:
            yield str(error)


def _policy(settings: Settings) -> None:
    if settings.policy_file is not None:
        from pumice.api.policy import Policy

        Policy({}, settings.policy_file)
