"""The links in what Block Storage shows."""

from pumice.api.call import Call

PREFIX = "/volume"
"""What every path of this service begins with; version documents are below it."""
VERSION = "/v3"


class Links:
    """The links of one request's answer. Made once, so that a row of a long list costs two joined strings."""

    __slots__ = ("bookmark", "own")

    def __init__(self, call: Call, collection: str) -> None:
        project = f"/{call.who.project_id}" if call.who.project_id else ""
        base = f"{call.base_url}{PREFIX}"
        self.own = f"{base}{VERSION}{project}/{collection}/"
        self.bookmark = f"{base}{project}/{collection}/"

    def to(self, key: str) -> list[dict[str, str]]:
        """``self`` with the version in its path, ``bookmark`` without."""
        return [{"rel": "self", "href": self.own + key}, {"rel": "bookmark", "href": self.bookmark + key}]
