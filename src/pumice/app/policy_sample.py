"""``pumice policy``: every rule of the APIs with its default, as a file that changes nothing yet."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pumice.api.compute.rules import WORDS as COMPUTE_WORDS
from pumice.api.compute.service import ROUTES as COMPUTE
from pumice.api.identity.service import ROUTES as IDENTITY
from pumice.api.image.rules import WORDS as IMAGE_WORDS
from pumice.api.image.service import image_routes
from pumice.api.own.service import ROUTES as OWN
from pumice.api.policy import ADMIN, WHO_IS_ADMIN, Words
from pumice.api.routing import Route, checks_of
from pumice.api.volume.rules import WORDS as VOLUME_WORDS
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


WORDS = {
    "Block Storage": VOLUME_WORDS,
    "Compute": COMPUTE_WORDS,
    "Image": replace(IMAGE_WORDS, rules={WHO_IS_ADMIN: ADMIN}),  # what else it names is another's, too
    "Pumice": VOLUME_WORDS,
}
"""What the rules of an API are made of, where its defaults name that."""


def sample() -> str:
    """The text of the file."""
    parts, told = [HEAD], set[str]()
    for name, routes in services().items():
        words = WORDS.get(name, Words())
        parts += [
            f"\n# {name}\n",
            *_made_of(words, told),
            *_rules(routes, words),
        ]
        told |= words.rules.keys()
    return "".join(parts)


def _made_of(words: Words, told: Collection[str]) -> Iterator[str]:
    for name, check in words.rules.items():
        if name in told:
            continue
        used = name in words.standing.values()
        yield f"\n# {'What others below are made of' if used else 'For files that refer to it'}"
        yield f'\n#"{name}": "{check}"\n'


def _rules(routes: Iterable[Route], words: Words) -> Iterator[str]:
    routes = tuple(routes)
    for name, check in checks_of(routes).items():
        requests = [_request(route) for route in routes if route.rule and route.rule.name == name]
        requests += [
            f"{_request(route)}, in part" for route in routes if name in {rule.name for rule in route.also}
        ]
        yield "".join(f"\n# {request}" for request in dict.fromkeys(requests))
        if name in words.former:
            yield f"\n# Formerly {words.former[name]}, which counts where a file does not name this"
        yield f'\n#"{name}": "{words.of(check)}"\n'


def _request(route: Route) -> str:
    return f"{route.method} {route.path}" + (f" {route.action}" if route.action else "")
