"""What handlers ask is what their routes declare: no rule beyond those, and none that nobody asks.

The code of a handler is followed, through what of ``pumice.api`` it names, to the rules that it names:
nothing is run. When a handler does ask a rule that its route does not declare, that is a ``KeyError``.
"""

import dataclasses
import functools
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType

import pytest

from pumice.api.call import Call
from pumice.api.policy import Policy, Rule
from pumice.api.routing import Route
from pumice.app.policy_sample import services


def is_ours(thing: object) -> bool:
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None)
    return str(name).startswith("pumice.api")


def names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names(constant)


def named_by(function: FunctionType, owner: object = None) -> Iterator[object]:
    """What a function's code names: globals, attributes of its modules and its object, what it closes over."""
    used = list(dict.fromkeys(names(function.__code__)))
    known = [function.__globals__[name] for name in used if name in function.__globals__]
    yield from known
    for space in (owner, *(thing for thing in known if isinstance(thing, ModuleType) and is_ours(thing))):
        yield from (inspect.getattr_static(space, name, None) for name in used)
    yield from (cell.cell_contents for cell in function.__closure__ or ())


def rules_of(start: object) -> set[str]:
    """The names of the rules that a handler reaches."""
    return {thing.name for thing in reached(start) if isinstance(thing, Rule)}


def reached(start: object) -> list[object]:
    """All that a handler's code reaches; of a class, by those methods whose names it uses."""
    seen, called = dict[tuple[int, int], object](), set[str]()
    classes = dict[type, None]()
    left: list[tuple[object, object]] = [(start, None)]
    while left:
        thing, owner = left.pop()
        if (id(thing), id(owner)) not in seen:
            seen[id(thing), id(owner)] = thing  # kept, so that nothing else gets its id
            if isinstance(thing, functools.partial):
                left += [(part, None) for part in (thing.func, *thing.args, *thing.keywords.values())]
            elif isinstance(thing, MethodType):
                left.append((thing.__func__, thing.__self__))
            elif isinstance(thing, property):
                left.append((thing.fget, owner))
            elif isinstance(thing, staticmethod | classmethod):
                left.append((thing.__func__, owner))
            elif isinstance(thing, tuple | list | frozenset):
                left += [(part, None) for part in thing]
            elif isinstance(thing, Mapping):
                left += [(part, None) for part in thing.values()]
            elif isinstance(thing, FunctionType) and is_ours(thing):
                called |= {*names(thing.__code__)}
                left += [(it, owner if isinstance(it, FunctionType) else None) for it in named_by(thing, owner)]
            elif isinstance(thing, type) and is_ours(thing) and not issubclass(thing, Call | Policy | Route):
                classes[thing] = None
            elif dataclasses.is_dataclass(thing) and is_ours(type(thing)) and not isinstance(thing, Route):
                left += [(getattr(thing, part.name), None) for part in dataclasses.fields(thing)]
                left.append((type(thing), None))
        if not left:
            methods = [
                (part, one)
                for one in classes
                for name, part in vars(one).items()
                if name in {*called, "__init__"}
            ]
            left = [(part, one) for part, one in methods if (id(part), id(one)) not in seen]
    return list(seen.values())


def undeclared(route: Route) -> set[str]:
    return rules_of(route.handler) - {rule.name for rule in route.rules}


@pytest.mark.parametrize("api", services())
def test_handlers_ask_what_their_routes_declare_and_nothing_else(api: str) -> None:
    for route in services()[api]:
        unasked = {rule.name for rule in route.also} - rules_of(route.handler)
        assert not unasked, f"{route.method} {route.path} declares in also what its handler does not ask"
        assert not undeclared(route), f"{route.method} {route.path} asks what it does not declare in also"


def test_a_rule_that_any_route_leaves_out_is_missed() -> None:
    routes = [route for each in services().values() for route in each if route.also]
    assert len(routes) > 20
    for route in routes:
        for rule in route.also:
            left = tuple(other for other in route.also if other is not rule)
            assert undeclared(dataclasses.replace(route, also=left)) == {rule.name}
