"""A host that connects to storage: the ``connector`` of the Block Storage API, as a value.

Clients send what os-brick found on their host. What storage goes by is kept; the rest is checked for its size
and forgotten. Names follow RFC 7143 and 3722 (``iqn.…``, ``eui.…``, ``naa.…``) and the NVMe base specification.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pumice.model.errors import Invalid

_MOST_WORDS, _LONGEST, _MOST_ITEMS = 64, 255, 64
_IQN = re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9._:-]+|eui\.[0-9A-Fa-f]{16}|naa\.(?:[0-9A-Fa-f]{16}){1,2}")
_NQN = re.compile(r"nqn\.\d{4}-\d{2}\.[A-Za-z0-9._:-]+")
_WWN = re.compile(r"(?:0x)?[0-9A-Fa-f]{16}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){7}")
_LONGEST_NAME = 223
"""Bytes of an iSCSI name (RFC 7143, 4.2.7.1) and of an NQN."""
_KNOWN_BY = {"": ("initiator", "an IQN"), "iSCSI": ("initiator", "an IQN"), "NVMe-oF": ("nqn", "an NQN")}
"""What hosts are known by, for each ``storage_protocol``; any other knows them by their hosts' names."""


@dataclass(frozen=True, slots=True)
class Connector:
    """A host, by the names it has for storage; those it does not have are empty."""

    host: str = ""
    ip: str = ""
    initiator: str = ""
    """The name for iSCSI."""
    nqn: str = ""
    """The name for NVMe over fabrics."""
    wwpns: tuple[str, ...] = ()
    """The ports' names for Fibre Channel."""
    multipath: bool = False
    """Whether it makes one disk of several paths."""
    enforce_multipath: bool = False
    mountpoint: str = ""
    """The path at which its user says that the disk will appear."""
    mode: str = ""

    @classmethod
    def parse(cls, told: object) -> "Connector":
        """What a client sent. Raises ``Invalid``, naming the word that is wrong."""
        if not isinstance(told, dict) or len(told) > _MOST_WORDS:
            raise Invalid("Invalid input received: a connector is an object of a few names.")
        for word, value in told.items():
            _check(word, value)
        found = cls.of_row(told)
        for word, name, form, kind in (
            ("initiator", found.initiator, _IQN, "an IQN, EUI or NAA name"),
            ("nqn", found.nqn, _NQN, "an NQN"),
        ):
            if name and (len(name) > _LONGEST_NAME or not form.fullmatch(name)):
                raise _wrong(word, f"'{name[:100]}' is not {kind}")
        for name in found.wwpns:
            if not _WWN.fullmatch(name):
                raise _wrong("wwpns", f"'{name[:100]}' is not a World Wide Name")
        return found

    @classmethod
    def of_row(cls, row: Mapping[str, Any] | None) -> "Connector":
        """The connector that a row has kept."""
        row = row or {}
        found: dict[str, Any] = {word: value for word in _TEXTS if isinstance(value := row.get(word), str)}
        found |= {word: row.get(word) is True for word in ("multipath", "enforce_multipath")}
        return cls(**found, wwpns=tuple(str(name) for name in row.get("wwpns") or () if name))

    def to_row(self) -> dict[str, object]:
        """The connector as clients send it, and as it is kept."""
        found: dict[str, object] = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}
        return found | ({"wwpns": list(self.wwpns)} if self.wwpns else {})

    def is_same_host(self, other: "Connector | None") -> bool:
        """Whether both are one host: by the names that both have for storage, else by the host's name."""
        if other is None:
            return False
        for mine, its in ((self.initiator, other.initiator), (self.nqn, other.nqn)):
            if mine and its:
                return mine == its
        if self.wwpns and other.wwpns:
            return not set(self.wwpns).isdisjoint(other.wwpns)
        return bool(self.host) and self.host == other.host


def initiator_of(connector: Connector, protocol: str = "iSCSI") -> str:
    """The name by which the connector's host gets in. Raises ``Invalid``."""
    word, kind = _KNOWN_BY.get(protocol, ("host", "its own name"))
    name: str = getattr(connector, word)
    if not name:
        raise Invalid(f"Invalid input received: the connector must name its '{word}' ({kind}) for {protocol}.")
    return name


def _check(word: str, value: object) -> None:
    """Raise ``Invalid`` for what is no line of text, boolean, number that can be stored, or list of texts."""
    if word in ("multipath", "enforce_multipath"):
        if not isinstance(value, bool | None):
            raise _wrong(word, "it is true or false")
    elif isinstance(value, list) and word not in _TEXTS:
        if len(value) > _MOST_ITEMS or not all(isinstance(item, str) and _is_line(item) for item in value):
            raise _wrong(word, "a list has a few short texts")
    elif isinstance(value, str):
        if not _is_line(value) or (word in _NAMES and any(map(str.isspace, value))):
            raise _wrong(word, f"a text is one line of at most {_LONGEST} characters, and a name has no spaces")
    elif word in _TEXTS and value is not None:
        raise _wrong(word, "it is a text")
    elif value is not None and not (isinstance(value, int | float) and abs(value) < 2**53):
        raise _wrong(word, "it is a text, a number, true or false, or a list of texts")
    if word == "wwpns" and not isinstance(value, list | None):
        raise _wrong(word, "it is a list of texts")


_NAMES = frozenset({"host", "ip", "initiator", "nqn"})
_TEXTS = _NAMES | {"mountpoint", "mode"}


def _is_line(text: str) -> bool:
    return len(text) <= _LONGEST and text.isprintable()


def _wrong(word: str, why: str) -> Invalid:
    return Invalid(f"Invalid input received: the connector's '{word[:100]}' is wrong: {why}.")
