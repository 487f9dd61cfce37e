"""Microversion negotiation (api-sig guideline "Microversion Specification")."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pumice.api.call import Version
from pumice.api.faults import HttpError

_FORM = re.compile(r"([1-9][0-9]*)\.([1-9][0-9]*|0)")
_DIGITS = 9
"""How many digits of a number are read: one with more is beyond every version anyway."""
_HEADER = "openstack-api-version"

Reader = Callable[["Versions", Mapping[str, str]], str | None]
"""Takes the version's text out of a request's headers; None where nothing is asked for."""


def first_mention(versions: "Versions", headers: Mapping[str, str]) -> str | None:
    """Block Storage's way: the first element that has the service's type anywhere in it counts.

    So ``volumev3 3.27``, which gophercloud sends, is heard. A header without such an element is refused.
    """
    if (text := headers.get(_HEADER)) is None:
        return None
    for element in text.split(","):
        if versions.service_type in element:
            words = element.split()
            if len(words) == 2:
                return words[1]
            break
    raise HttpError(
        400, f"OpenStack-API-Version is '{versions.service_type} MAJOR.MINOR', and not '{text[:100]}'."
    )


def last_named(versions: "Versions", headers: Mapping[str, str]) -> str | None:
    """Compute's way: the last element that names the service counts, others are none of its business."""
    for element in reversed(headers.get(_HEADER, "").split(",")):
        service, _, text = element.strip().partition(" ")
        if text and service.lower() == versions.service_type:
            return text.strip()
    older = headers.get((versions.legacy_header or "").lower())
    return older.rpartition(",")[2].strip() if older is not None else None


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions a service speaks, and the headers in which it talks about them."""

    service_type: str
    """The name in the header: ``volume`` in ``OpenStack-API-Version: volume 3.71``."""
    lowest: Version
    highest: Version
    reader: Reader
    legacy_header: str | None = None
    """Compute's older header, which carries the number alone."""

    def asked(self, headers: Mapping[str, str]) -> Version:
        """The version a request asks for; the lowest if it asks for none. 400 or 406 if it cannot be had."""
        text = self.reader(self, headers)
        if text is None:
            return self.lowest
        if text == "latest":
            return self.highest
        if not (match := _FORM.fullmatch(text)):
            raise HttpError(
                400, f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum."
            )
        version = int(match[1][:_DIGITS]), int(match[2][:_DIGITS])
        if not self.lowest <= version <= self.highest:
            raise HttpError(
                406,
                f"Version {text} is not supported by the API. Minimum is {_dotted(self.lowest)} and maximum is "
                f"{_dotted(self.highest)}.",
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        """What every answer says about the version it is written in."""
        said = {
            "OpenStack-API-Version": f"{self.service_type} {_dotted(version)}",
            "Vary": "OpenStack-API-Version",
        }
        if self.legacy_header:
            said |= {
                self.legacy_header: _dotted(version),
                "Vary": f"OpenStack-API-Version, {self.legacy_header}",
            }
        return said


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
