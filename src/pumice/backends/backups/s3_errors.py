"""Errors of a store that speaks S3, told by our own: what it is, and what to do about it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pumice.backends.backups.s3_client import S3Access
from pumice.model.errors import Misconfigured, PumiceError, Retryable, TryAnotherBackend

_ABSENT = {"NoSuchKey", "404"}
_REFUSED: Mapping[str, str] = {
    "NoSuchBucket": "there is no such bucket: make it, or name another in [backup] bucket",
    "InvalidAccessKeyId": "the store does not know the access key: see to [backup] access_key",
    "SignatureDoesNotMatch": "the secret key is not that of the access key: see to [backup] secret_key",
    "AccessDenied": "access is denied: the key must be allowed to list the bucket, to get, put and delete",
    "RequestTimeTooSkewed": "the clocks differ: set this host's right, or the store's",
    "AuthorizationHeaderMalformed": "the bucket is in another region: see to [backup] region",
    "PermanentRedirect": "the bucket is reached at another endpoint: see to [backup] endpoint and region",
    "IllegalLocationConstraintException": "the bucket is in another region: see to [backup] region",
    "InvalidBucketName": "no bucket can have such a name: see to [backup] bucket",
    "EntityTooLarge": "objects may not be so large there: set [backup] chunk_mib to less",
}
_ALIKE = {
    "403": "AccessDenied",
    "401": "AccessDenied",
    "AllAccessDisabled": "AccessDenied",
    "AccountProblem": "AccessDenied",
    "301": "PermanentRedirect",
}
_FULL = {"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull", "507"}


def is_absent(error: Exception) -> bool:
    """Whether an object is not there."""
    return _code(error) in _ABSENT


def is_gone(error: Exception) -> bool:
    """Whether the bucket is not there, and so nothing that was in it."""
    return _code(error) == "NoSuchBucket"


def is_broken_off(error: Exception) -> bool:
    """Whether an answer began well, and did not come to its end."""
    from botocore import exceptions

    return isinstance(
        error,
        exceptions.IncompleteReadError | exceptions.ResponseStreamingError | exceptions.ReadTimeoutError,
    )


@contextmanager
def explained(access: S3Access, bucket: str) -> Iterator[None]:
    """Raise what goes wrong meanwhile as ``Misconfigured``, ``TryAnotherBackend`` or ``Retryable``."""
    try:
        yield
    except PumiceError:
        raise
    except Exception as error:
        if not type(error).__module__.startswith("botocore."):
            raise
        raise _told(error, f"bucket {bucket} at {access.place}") from error


def _told(error: Exception, where: str) -> PumiceError:
    code, its = _code(error), f"The store of backups, {where},"
    if why := _REFUSED.get(_ALIKE.get(code, code)):
        return Misconfigured(f"{its} cannot be used: {why}.")
    if code in _FULL:
        return TryAnotherBackend("The store of backups is full.", f"It is {where}.")
    kind = type(error).__name__
    if kind == "SSLError":
        return Misconfigured(
            f"{its} cannot be used: its certificate is not trusted: name its authority in [backup] ca_file. "
            f"{_short(error)}"
        )
    if kind in ("ParamValidationError", "InvalidRegionError"):
        return Misconfigured(f"{its} cannot be used: {_short(error)}")
    return Retryable("The store of backups cannot be used at the moment.", f"{where}: {_short(error)}")


def _code(error: Exception) -> str:
    """The store's own word for an error; empty where it was not the store that said something."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _short(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300].rstrip(".") + "."
