"""``pumice policy``: every rule of the APIs with its default, as a file that changes nothing yet."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from pumice.api.compute.service import ROUTES as COMPUTE
from pumice.api.identity.service import ROUTES as IDENTITY
from pumice.api.image.service import image_routes
from pumice.api.own.service import ROUTES as OWN
from pumice.api.routing import Route, checks_of
from pumice.api.volume.service import volume_routes
from pumice.images.files import ImageFiles

HEAD = """\
# Who may do what: every rule with its default, and the requests that it guards.
# Take away the # of a rule to change its check, and name the file as policy_file in the settings.
# "in part" are requests that ask the rule for something that they do or show besides.
# Written by: pumice policy
"""


def services() -> dict[str, tuple[Route, ...]]:
    """The routes of each API, by the API's name."""
    with TemporaryDirectory() as nowhere:
        image = tuple(image_routes(ImageFiles(Path(nowhere))))
    return {
        "Identity": IDENTITY,
        "Image": image,
        "Block Storage": tuple(volume_routes()),
        "Compute": COMPUTE,
        "Pumice": OWN,
    }


def sample() -> str:
    """The text of the file."""
    parts = [HEAD]
    for name, routes in services().items():
        parts += [f"\n# {name}\n", *_rules(routes)]
    return "".join(parts)


def _rules(routes: Iterable[Route]) -> Iterator[str]:
    routes = tuple(routes)
    for name, check in checks_of(routes).items():
        requests = [_request(route) for route in routes if route.rule and route.rule.name == name]
        requests += [
            f"{_request(route)}, in part" for route in routes if name in {rule.name for rule in route.also}
        ]
        yield "".join(f"\n# {request}" for request in dict.fromkeys(requests))
        yield f'\n#"{name}": "{check}"\n'


def _request(route: Route) -> str:
    return f"{route.method} {route.path}" + (f" {route.action}" if route.action else "")
