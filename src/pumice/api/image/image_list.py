"""The list of images: Glance has a query and pages of its own (api-ref "List images")."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from pumice.api.call import Call
from pumice.api.collection import Collection, Unknown
from pumice.api.image import filters
from pumice.api.image.views import image_view
from pumice.api.paging import Page
from pumice.api.routing import Handler
from pumice.model.image import Image
from pumice.store import images


class ImageList(Collection[Image]):
    """A list with the links ``first`` and ``next``, which are paths, and its schema."""

    def page(self, call: Call) -> Page:
        """The page that a query asks for. Raises ``Invalid``."""
        return filters.page(call)

    def beside(self, call: Call, _name: str, shown: Sequence[Mapping[str, Any]], page: Page) -> dict[str, Any]:
        """The links, and the schema."""
        query = [pair for pair in call.query_pairs if pair[0] != "marker"]
        links = {"first": _link(query), "schema": "/v2/schemas/images"}
        if shown and len(shown) == page.limit:
            links["next"] = _link([*query, ("marker", shown[-1]["id"])])
        return links


def _link(query: list[tuple[str, str]]) -> str:
    return f"/v2/images?{urlencode(query, quote_via=quote)}" if query else "/v2/images"


_LIST = ImageList(
    {name: name for name in images.SORT_KEYS},
    filters.conditions,
    images.page,
    told=filters.members,
    unknown=Unknown.INVALID,
)


def index(*, shows_url: bool) -> Handler:
    """The handler: a page of the images that the caller sees."""
    return _LIST.answers("images", lambda _, image: image_view(image, shows_url=shows_url))
