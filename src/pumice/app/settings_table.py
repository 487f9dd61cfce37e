"""Every setting in force: its value, where that came from, and what it means. Secrets are not shown."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.padding import Padding

from pumice.app.settings import Settings, config_file, is_live
from pumice.app.terminal import console, plain, print_json

HIDDEN = "(not shown)"
_SECRET = ("password", "database_url", "transport_url", "secret_key", "encryption_key")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting; ``name`` is dotted, as in ``api.port``."""

    name: str
    value: Any
    """The value, or ``HIDDEN``."""
    source: str
    meaning: str
    live: bool
    """Whether SIGHUP changes it; else it needs a restart."""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"PUMICE_{self.name.replace('.', '__').upper()}"


def every(settings: Settings) -> list[Setting]:
    """Every setting, in the order of ``settings.py``."""
    return list(_walk(settings, (), settings.sources))


def show(settings: Settings, *, as_json: bool) -> None:
    """Print the settings."""
    found = every(settings)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    out = console()
    for one in found:
        style = "dim" if one.source == "default" else "bold"
        changed_by = "reload" if one.live else "restart"
        out.print(plain(f"{one.name} = {_words(one.value)}", style))
        told = plain(f"{one.meaning} From: {one.source}; changed by a {changed_by}.", "dim")
        out.print(Padding(told, (0, 0, 0, 4)))
    out.print(
        f"\nSettings file: {config_file() or 'none'}. In the environment a setting is named like "
        f"{found[0].variable} or {found[-1].variable}.",
        style="dim",
    )


def _walk(
    section: BaseModel, path: tuple[str, ...], sources: Mapping[str, Mapping[str, Any]]
) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        yield from _value(getattr(section, name), (*path, name), field, sources)


def _value(
    value: object, path: tuple[str, ...], field: FieldInfo, sources: Mapping[str, Mapping[str, Any]]
) -> Iterator[Setting]:
    if isinstance(value, BaseModel):
        yield from _walk(value, path, sources)
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _value(inner, (*path, str(name)), field, sources)
    else:
        source = next((name for name, given in sources.items() if _holds(given, path)), "default")
        shown = HIDDEN if value is not None and path[-1].endswith(_SECRET) else value
        yield Setting(".".join(path), shown, source, field.description or "", is_live(field))


def _words(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == {} else str(value)


def _holds(given: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    here: Any = given
    for name in path:
        if not isinstance(here, Mapping) or name not in here:
            return False
        here = here[name]
    return True
