"""``openstack operation …``: operations, step by step, and as they go on."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from osc_lib import exceptions
from osc_lib.command import command

from pumice.osc.one import ShowThing, client_of

NAMES = "The operation's id, or that of a thing whose newest operation is meant"
COLUMNS = ("id", "kind", "subject", "state", "step", "progress", "created_at")
WAIT_SECONDS = 30
ENDED = ("done", "failed", "cleaning")
BAR = 30


class ListOperation(command.Lister):
    """List operations, the newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--subject", metavar="<id>", help="Those about this volume, server, …")
        parser.add_argument("--kind", metavar="<kind>", help="Of this kind: volume.create")
        states = ("running", "waiting", "undoing", "cleaning", "done", "failed")
        parser.add_argument("--state", choices=states, help="In this state")
        parser.add_argument("--limit", type=int, metavar="<number>", help="So many at most")
        return of_all_projects(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them."""
        names = ("subject", "kind", "state", "limit")
        asked = {name: value for name in names if (value := getattr(parsed_args, name)) is not None}
        if parsed_args.all_projects:
            asked["all_projects"] = 1
        found = client_of(self).get("/operations", params=asked).json()["operations"]
        return titles(COLUMNS), (tuple(_word(one, name) for name in COLUMNS) for one in found)


class ShowOperation(ShowThing):
    """Show one operation, step by step"""

    path, key, names = "/operations", "operation", NAMES

    def meant(self, client: Any, word: str) -> str:
        """The operation's id, or that of the newest about a thing."""
        return meant(client, word)

    def told(self, one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        """The operation's fields, and its history."""
        lines = "\n".join(told(line) for line in one.pop("lines"))
        names = [name for name in one if one[name] not in (None, [])]
        return [*names, "history"], [*(_word(one, name) for name in names), lines]


class _Asks(command.Command):
    """Asks something of one operation"""

    action = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The operation."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Ask."""
        client = client_of(self)
        client.post(f"/operations/{meant(client, parsed_args.id)}/actions/{self.action}")


class CancelOperation(_Asks):
    """Ask an operation to turn back"""

    action = "cancel"


class RetryOperation(_Asks):
    """Try an operation again"""

    action = "retry"


class WatchOperation(command.Command):
    """Watch an operation until it has ended: each step as it is done, and how far a long one is"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The operation."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Watch it. Raises ``CommandError`` when it fails."""
        client = client_of(self)
        one = watch(client, meant(client, parsed_args.id), self.app.stdout)
        if one["state"] != "done":
            raise exceptions.CommandError(one["error"] or "The operation failed.")


def watch(client: Any, operation_id: str, out: TextIO) -> dict[str, Any]:
    """Follow an operation to its end by requests that wait; what it came to."""
    headers, seen, end = {"Prefer": f"wait={WAIT_SECONDS}"}, 0, "\r" if sys.stderr.isatty() else "\n"
    while True:
        reply = client.get(f"/operations/{operation_id}", headers=headers)
        if reply.status_code == 200:
            one: dict[str, Any] = reply.json()["operation"]
            for line in one["lines"][seen:]:
                print(_over_a_bar(told(line)), file=out, flush=True)
            seen = len(one["lines"])
            if one["progress"] is not None and one["state"] not in ENDED:
                filled = round(one["progress"] * BAR)
                bar = "#" * filled + "." * (BAR - filled)
                print(f"{one['step']} [{bar}] {one['progress']:.0%}", end=end, file=sys.stderr, flush=True)
            if one["state"] in ENDED:
                print(_over_a_bar(f"{one['kind']} {one['subject']}: {one['state']}"), file=out, flush=True)
                return one
            headers["If-None-Match"] = reply.headers["ETag"]


def _over_a_bar(line: str) -> str:
    """A line, as long as a bar in a terminal that it is written over."""
    return line.ljust(2 * BAR) if sys.stderr.isatty() else line


def meant(client: Any, word: str) -> str:
    """The operation of this id, or the newest about the thing of this id: one under way, if there is any."""
    found = client.get("/operations", params={"subject": word, "limit": 20}).json()["operations"]
    under_way = [one for one in found if one["state"] not in ENDED]
    return str((under_way or found)[0]["id"]) if found else word


def told(line: dict[str, Any]) -> str:
    """A line of the history."""
    step = f"undo {line['step']}" if line["direction"] == "undo" else line["step"]
    times = f" ({line['times']} times)" if line["times"] > 1 else ""
    error = f": {line['error']}" if line["error"] else ""
    return f"{line['started_at']} {step} {line['outcome']} in {line['seconds']:.3f} s{times}{error}"


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("id", metavar="<id>", help=NAMES)
    return parser


def of_all_projects(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A list's options, with the one for everybody's."""
    parser.add_argument("--all-projects", action="store_true", help="Every project's (admin only)")
    return parser


def titles(names: Sequence[str]) -> Sequence[str]:
    """The heads of columns of these names."""
    return [
        name.replace("_", " ").title().replace("Id", "ID").replace("Url", "URL").replace("Gib", "GiB")
        for name in names
    ]


def _word(one: dict[str, Any], name: str) -> Any:
    value = one[name]
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:.0%}" if name == "progress" and value is not None else value
