"""Whether an application credential is for a request (Keystone, "Application Credentials: access rules")."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from pumice.model.scope import AccessRule

_PART = re.compile(r"\*\*|\*|\{[^}]*\}")


def allow(rules: Iterable[AccessRule], services: Collection[str], method: str, paths: Collection[str]) -> bool:
    """Whether one of the rules is for a request to a service, which has these types, under any of its paths."""
    return any(
        rule.service in services
        and rule.method == method
        and any(_pattern(rule.path).fullmatch(path) for path in paths)
        for rule in rules
    )


@lru_cache(maxsize=1000)
def _pattern(path: str) -> re.Pattern[str]:
    """``{name}`` and ``*`` stand for one part of a path, ``**`` for any number of them."""
    pieces, at = [], 0
    for wild in _PART.finditer(path):
        pieces += [re.escape(path[at : wild.start()]), ".*" if wild[0] == "**" else "[^/]+"]
        at = wild.end()
    return re.compile("".join([*pieces, re.escape(path[at:])]), re.DOTALL)
