"""The names that settings have: what is not one of them is refused, with the name that was probably meant.

A misspelt setting that is silently ignored is found when it is needed: the state directory was another, the
limit never held.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

PREFIX = "PUMICE_"
_OTHERS = {"PUMICE_CONFIG", "PUMICE_OPERATION_ID"}
"""Names that begin alike and are no settings: the file's place, and what ``host/command`` tells commands."""


def wrong_variables(model: type[BaseModel], environment: Iterable[str]) -> Iterator[str]:
    """A sentence for each variable that begins like a setting of ``model`` and is none."""
    for variable in sorted(environment):
        if not variable.upper().startswith(PREFIX) or variable.upper() in _OTHERS:
            continue
        path = variable[len(PREFIX) :].lower().split("__")
        if not _is_one(model, path):
            known = [f"{PREFIX}{'__'.join(name).upper()}" for name in _names(model)]
            yield _sentence(variable.upper(), [*known, *_OTHERS])


def wrong_name(model: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """A sentence for a name in the settings file that its section does not know."""
    *sections, name = map(str, path)
    here: type[BaseModel] | None = model
    for section in sections:
        if here is not None and section in here.model_fields:
            here = next(_inner(here.model_fields[section].annotation), None)
    siblings = list(here.model_fields) if here is not None else []
    if here is not None and (close := get_close_matches(name, siblings, 1)):
        return (
            f"There is no setting '{'.'.join(map(str, path))}'. Did you mean '{'.'.join([*sections, *close])}'?"
        )
    return _sentence(".".join(map(str, path)), [".".join(one) for one in _names(model)])


def wrong_of_driver(drivers: Mapping[str, type[BaseModel]], section: str, driver: str, name: str) -> str:
    """A sentence for a name in a section of ``driver`` that this driver does not know; perhaps others do."""
    if theirs := sorted(one for one, model in drivers.items() if name in model.model_fields):
        return f"'{section}.{name}' is a setting of {' and '.join(theirs)}, and its driver is '{driver}'."
    return _sentence(f"{section}.{name}", [f"{section}.{one}" for one in drivers[driver].model_fields])


def wrong_resources(quotas: Mapping[str, int], known: Iterable[str], by_type: Iterable[str]) -> Iterator[str]:
    """A sentence for each quota of what is not counted; ``by_type`` are counted for each volume type too."""
    every = [*known]
    for name in quotas:
        if name not in every and not name.startswith(tuple(f"{one}_" for one in by_type)):
            yield _sentence(f"quotas.{name}", [f"quotas.{one}" for one in every])


def _sentence(wrong: str, known: Iterable[str]) -> str:
    close = get_close_matches(wrong, list(known), 1)
    hint = f"Did you mean '{close[0]}'?" if close else "'pumice settings' lists every one."
    return f"There is no setting '{wrong}'. {hint}"


def _names(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting's name, in parts; of one with names of its own below it, only the part above."""
    for name, field in model.model_fields.items():
        inner = None if _is_mapping(field.annotation) else next(_inner(field.annotation), None)
        if inner is None:
            yield (*path, name)
        else:
            yield from _names(inner, (*path, name))


def _is_one(model: type[BaseModel], path: list[str]) -> bool:
    """Whether the parts name a setting, a section, or what lies in one that holds names of its own."""
    if not path:
        return True
    field = model.model_fields.get(path[0])
    if field is None:
        return False
    inner = [*_inner(field.annotation)]
    rest = path[2:] if _is_mapping(field.annotation) else path[1:]
    if not rest or not inner:
        return not rest or _is_mapping(field.annotation)
    return any(_is_one(one, rest) for one in inner)


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that a field may hold, itself or under names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def _is_mapping(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is dict
