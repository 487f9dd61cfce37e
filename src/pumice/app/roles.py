"""The roles of a Pumice, and what a process that has some of them is called.

``pumice serve`` has every role in one process. On PostgreSQL each may be a process of its own: ``api`` and
``scheduler`` in any number, ``volume`` and ``compute`` one for each host. The images' bytes lie in the state
directory of the ``api``: hosts of ``volume`` and ``compute`` must see ``STATE_DIR/images`` under the same path.
"""

from collections.abc import Callable, Collection

from pumice.app.settings import Role, Settings
from pumice.model.errors import Misconfigured
from pumice.store.database import Database

__all__ = ["EVERY", "Role", "refuse_alone", "take_name"]


EVERY = frozenset(Role)
MOST_SCHEDULERS = 100


def refuse_alone(settings: Settings, roles: Collection[Role]) -> None:
    """Raise ``Misconfigured`` when the roles do not make a whole, and the database cannot be shared."""
    if frozenset(roles) != EVERY and settings.database().startswith("sqlite"):
        raise Misconfigured(
            "SQLite is for one process: let 'pumice serve' be all roles in one, or set PUMICE_DATABASE_URL to "
            "a PostgreSQL, as in postgresql://user:password@host/pumice."
        )


async def take_name(db: Database, host: str, roles: Collection[Role], lost: Callable[[], None]) -> str:
    """Take what only one live process may have. Returns the name under which this one holds operations.

    A process that starts frees what earlier ones of its name held: they are provably gone. Schedulers of one
    host are numbered, each takes the first number that is free. Raises ``Misconfigured`` when another process
    is this host's volume or compute; ``lost`` is called when that turns out later.
    """
    for role in sorted({Role.VOLUME, Role.COMPUTE}.intersection(roles)):
        await db.hold(f"{role} of {host}", lost)
    if frozenset(roles) == EVERY:
        return host
    name = "+".join(sorted(roles))
    if Role.SCHEDULER not in roles:
        return f"{name}.{host}"
    for number in range(1, MOST_SCHEDULERS + 1):
        try:
            await db.hold(f"{name} {number} of {host}", lost, timeout=0)
        except Misconfigured:
            continue
        return f"{name}-{number}.{host}"
    raise Misconfigured(f"Host '{host}' has {MOST_SCHEDULERS} schedulers already.")
