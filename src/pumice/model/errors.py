"""Everything that can go wrong, as one small tree.

No HTTP in here: ``api/faults.py`` maps these classes to each wire API's status codes. The message of an
error is written for the person who reads it: what happened, and what to do next. It never holds a secret. What
Pumice itself runs into is told to tenants too, who are to know no host, pool, path or address: these are in its
``detail``.

Three branches matter to the operation engine:

* ``Retryable``    waiting may help; the step is tried again with back-off
* ``TryAnotherBackend``  this backend cannot do it; the operation may choose another
* anything else  final; the operation is undone and the message becomes its explanation
"""


class PumiceError(Exception):
    """The root. ``str(error)`` is the message shown to the user."""

    def __init__(self, message: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail
        """What only an operator may know of it: which host, pool or path, and in whose words."""

    @property
    def told(self) -> str:
        """What a tenant reads: the message."""
        return str(self)

    @property
    def in_full(self) -> str:
        """What an operator reads: the message, and the detail."""
        return " ".join(filter(None, (str(self), self.detail)))


# --- what a caller can do something about -------------------------------------------------------


class Invalid(PumiceError):
    """The request asks for something that makes no sense."""


class InvalidState(PumiceError):
    """The thing exists but its state does not allow this now."""


class NotFound(PumiceError):
    """The thing does not exist, or not for this caller."""

    def __init__(self, kind: str, wanted: object) -> None:
        super().__init__(f"{kind} {wanted} could not be found.")
        self.kind = kind
        self.wanted = wanted


class Conflict(PumiceError):
    """Something else is in the way: a name already taken, a thing still in use."""


class Unauthenticated(PumiceError):
    """No token, or one that is not valid any more."""


class Forbidden(PumiceError):
    """The caller's roles do not allow this."""


class OverQuota(PumiceError):
    """The project's quota does not allow this."""


class TooBusy(PumiceError):
    """Too many ask for the same heavy thing at the moment. Asking again in a second or two helps."""


class TooLarge(PumiceError):
    """The request's body is larger than the service takes."""


# --- what Pumice itself runs into ------------------------------------------------------------


class NoValidBackend(PumiceError):
    """No pool (or no compute host) passes the filters."""


class Retryable(PumiceError):
    """A failure that waiting may cure: a daemon that is down, a lock that is held."""


class TryAnotherBackend(PumiceError):
    """This backend cannot do it (full, broken); another one may."""


class ImageRefused(PumiceError):
    """The image is unsafe, malformed, or does not fit. Trying again will not help."""


class GuestKeepsDisk(PumiceError):
    """The guest did not let go of a disk in time. The volume stays attached."""


class Misconfigured(PumiceError):
    """The settings or the machine lack something; the message says what to do, and is for operators alone."""

    @property
    def told(self) -> str:
        """That it is not the tenant's fault, and who knows more."""
        return "The service is not set up for this: its operators find in its log what it lacks."


class Hangs(Retryable):
    """A call has not come back, and nobody waits for it any more. What chose its place may choose another."""


class Unreadable(PumiceError):
    """Another version of Pumice wrote this operation, and this one does not know all that it says."""


class Cancelled(PumiceError):
    """Somebody asked for the undo of what is under way."""

    def __init__(self) -> None:
        super().__init__("The operation was cancelled.")


class LostLease(PumiceError):
    """Another worker took this operation over. What was being written must be dropped."""


def in_full(error: BaseException) -> str:
    """What an operator reads of any error."""
    if isinstance(error, PumiceError):
        return error.in_full
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
