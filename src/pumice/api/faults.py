"""How errors look on the wire: one table from our errors to status codes, one fault shape per API."""

from collections.abc import Callable, Mapping
from typing import Any

from pumice.model import errors

STATUS: Mapping[type[errors.PumiceError], int] = {
    errors.Invalid: 400,
    errors.InvalidState: 400,
    errors.ImageRefused: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.GuestKeepsDisk: 409,
    errors.OverQuota: 413,
    errors.TooLarge: 413,
    errors.TooBusy: 429,
    errors.NoValidBackend: 503,
    errors.TryAnotherBackend: 503,
    errors.Retryable: 503,
    errors.Misconfigured: 503,
}
"""Block Storage's codes; the other services say where they differ (``Service.statuses``)."""

_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}

_TITLES = {
    300: "Multiple Choices",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    410: "Gone",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}

Fault = Callable[[int, str], Any]


class HttpError(Exception):
    """A refusal that belongs to HTTP itself: no such route, wrong method, version out of range."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def status_of(error: errors.PumiceError, own: Mapping[type[errors.PumiceError], int]) -> int:
    """The status code of an error; ``own`` are the service's departures from the table."""
    for kind in type(error).__mro__:
        for table in (own, STATUS):
            if kind in table:
                return table[kind]
    return 500


def named_fault(status: int, message: str) -> Any:
    """Block Storage's and Compute's shape: ``{"itemNotFound": {"code": 404, "message": …}}``."""
    fault: dict[str, Any] = {"code": status, "message": message}
    if status == 413:
        fault["retryAfter"] = "0"
    return {_NAMES.get(status, "computeFault"): fault}


def titled_fault(status: int, message: str) -> Any:
    """Identity's shape: ``{"error": {"code": 404, "message": …, "title": "Not Found"}}``."""
    return {"error": {"code": status, "message": message, "title": _TITLES.get(status, "Error")}}


def plain_fault(status: int, message: str) -> Any:
    """Image's shape: a small page, as its clients expect."""
    title = f"{status} {_TITLES.get(status, 'Error')}"
    text = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n"
        f"  <h1>{title}</h1>\n  {text}<br /><br />\n\n\n </body>\n</html>"
    ).encode()
