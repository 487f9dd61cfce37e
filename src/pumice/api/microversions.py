"""Microversion negotiation (api-sig guideline "Microversion Specification")."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pumice.api.call import Version
from pumice.api.faults import HttpError

_FORM = re.compile(r"^([1-9]\d*)\.([1-9]\d*|0)$")


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions a service speaks, and the headers in which it talks about them."""

    service_type: str
    """As in ``OpenStack-API-Version: volume 3.71``."""
    lowest: Version
    highest: Version
    legacy_header: str | None = None
    """Compute's older header, which carries the number alone."""

    def asked(self, headers: Mapping[str, str]) -> Version:
        """The version a request asks for; the lowest if it asks for none. 400 or 406 if it cannot be had."""
        text = self._text(headers)
        if text is None:
            return self.lowest
        if text == "latest":
            return self.highest
        if not (match := _FORM.match(text)):
            raise HttpError(
                400, f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum."
            )
        version = int(match[1]), int(match[2])
        if not self.lowest <= version <= self.highest:
            raise HttpError(
                406,
                f"Version {text} is not supported by the API. Minimum is {_dotted(self.lowest)} and maximum is "
                f"{_dotted(self.highest)}.",
            )
        return version

    def _text(self, headers: Mapping[str, str]) -> str | None:
        for item in headers.get("openstack-api-version", "").split(","):
            words = item.split()
            if len(words) == 2 and words[0] == self.service_type:
                return words[1]
        return headers.get(self.legacy_header.lower()) if self.legacy_header else None

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
