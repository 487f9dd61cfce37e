"""The links in what Compute shows."""

from pumice.api.call import Call

PREFIX = "/compute"
"""What every path of this service begins with; version documents are below it."""
VERSION = "/v2.1"


class Links:
    """The links of one request's answer."""

    __slots__ = ("_base",)

    def __init__(self, call: Call) -> None:
        self._base = f"{call.base_url}{PREFIX}"

    def to(self, collection: str, key: str) -> list[dict[str, str]]:
        """``self`` with the version in its path, ``bookmark`` without."""
        return [{"rel": "self", "href": self.own(collection, key)}, *self.bookmark(collection, key)]

    def own(self, collection: str, key: str) -> str:
        """The thing's own address."""
        return f"{self._base}{VERSION}/{collection}/{key}"

    def bookmark(self, collection: str, key: str) -> list[dict[str, str]]:
        """The bookmark alone, for what is only mentioned."""
        return [{"rel": "bookmark", "href": f"{self._base}/{collection}/{key}"}]
