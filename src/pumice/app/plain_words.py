"""Errors as a person at a terminal is told of them: what happened, and what to do next, in one sentence."""

import errno

from pumice.model.errors import PumiceError

_PLACE = "run as root (sudo), or choose another --state-dir"
_DISK = "free some space on the state directory's disk"
_CURES = {
    errno.EACCES: _PLACE,
    errno.EPERM: _PLACE,
    errno.EROFS: _PLACE,
    errno.ENOTDIR: "choose another --state-dir",
    errno.EEXIST: "choose another --state-dir",
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
}


def in_plain_words(error: BaseException) -> str:
    """One sentence for whatever a command raised."""
    if isinstance(error, BaseExceptionGroup):
        return in_plain_words(error.exceptions[0])
    if isinstance(error, PumiceError):
        return error.in_full
    if (original := getattr(error, "orig", None)) is not None:  # SQLAlchemy's, which commands load late
        return f"The database does not do its work: {original}."
    if isinstance(error, UnicodeError):
        return "What was given, a word or a file, is not text in UTF-8."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        cure = _CURES.get(error.errno or 0)
        return f"{place}{error.strerror or error}{f': {cure}' if cure else ''}."
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return (
            "No memory or threads are left: by this machine, or by a limit on this process (ulimit, a unit's)."
        )
    return (
        f"{type(error).__name__}: {error}. This is a bug of Pumice: 'pumice --log-level debug …' shows where."
    )
