"""``openstack recycle bin …``: what was deleted and is kept for a while, to be had back or to be gone now."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from pumice.osc.one import ShowThing, client_of
from pumice.osc.operation import of_all_projects, titles

COLUMNS = ("id", "kind", "name", "size", "state", "recycled_at", "kept_until")
METAVAR, NAMES = "<volume or snapshot>", "Its id, or its name if one alone has it"


class ListRecycled(command.Lister):
    """List deleted volumes and snapshots that can be had back, the last deleted first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--kind", choices=("volume", "snapshot"), help="Of this kind")
        parser.add_argument("--limit", type=int, metavar="<number>", help="So many at most")
        return of_all_projects(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them."""
        asked = {name: value for name in ("kind", "limit") if (value := getattr(parsed_args, name)) is not None}
        if parsed_args.all_projects:
            asked["all_projects"] = 1
        found = client_of(self).get("/recycle-bin", params=asked).json()["recycle_bin"]
        return titles(COLUMNS), (tuple(one[name] for name in COLUMNS) for one in found)


class ShowRecycled(ShowThing):
    """Show a deleted volume or snapshot that can be had back"""

    path, key, metavar, names = "/recycle-bin", "recycled", METAVAR, NAMES

    def meant(self, client: Any, word: str) -> str:
        """The id of what has this name in the bin."""
        return _meant(client, word)

    def told(self, one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        """The fields of a thing in the bin, its metadata in one line."""
        one["metadata"] = ", ".join(f"{key}='{value}'" for key, value in sorted(one["metadata"].items()))
        return super().told(one)


class RestoreRecycled(command.Command):
    """Have a deleted volume back with the snapshots that went with it, or a snapshot"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The thing."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Have it back."""
        client = client_of(self)
        client.post(f"/recycle-bin/{_meant(client, parsed_args.thing)}/actions/restore")


class PurgeRecycled(command.Command):
    """Delete for good now what would be kept for a while"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The thing."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        client = client_of(self)
        client.delete(f"/recycle-bin/{_meant(client, parsed_args.thing)}")


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("thing", metavar=METAVAR, help=NAMES)
    return parser


def _meant(client: Any, word: str) -> str:
    """The id of what has this name in the bin, or the word itself. Raises ``CommandError`` for several."""
    found = client.get("/recycle-bin", params={"name": word, "limit": 2}).json()["recycle_bin"]
    if len(found) > 1:
        raise exceptions.CommandError(f"Several things in the recycle bin are called {word}: say an id.")
    return str(found[0]["id"]) if found else word
