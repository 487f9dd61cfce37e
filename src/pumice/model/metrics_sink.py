"""What is counted of a process's work. The rooms tell a sink; ``app/metrics.py`` has the one that adds up.

Every word told comes from a short list (kinds, steps, route templates), never from a client: what is counted
must stay bounded.
"""


class MetricsSink:
    """Hears what happens, and counts nothing. Called on the event loop; it must return at once."""

    def step(self, kind: str, step: str, direction: str, outcome: str, seconds: float) -> None:
        """A step's line was committed: ``done``, ``retry``, ``failed`` or ``waiting``."""

    def moved(self, kind: str, state: str) -> None:
        """An operation has another state than before."""

    def lease_lost(self, kind: str) -> None:
        """Count an operation that another worker had taken over: what this one had to write was dropped."""

    def given_up(self, number: int = 1) -> None:
        """Operations were ended at their deadline, with the undo still to come."""

    def unread(self, kind: str) -> None:
        """An operation could not be carried on or settled by this version: see its row for why."""

    def notified(self, number: int) -> None:
        """The broker has taken so many notifications."""

    def notifications_failed(self) -> None:
        """The broker took none: they are late."""

    def rerun(self, why: str) -> None:
        """A transaction had to run again: it met another (``race``) or its connection was ``lost``."""

    def request(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered. ``route`` is a template, or empty when there is none."""

    def schedule_run(self, makes: str, state: str) -> None:
        """A run of a schedule of snapshots or backups has ended: ``done`` or ``failed``."""
