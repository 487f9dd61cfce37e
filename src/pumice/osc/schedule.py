"""``openstack schedule …``: snapshots and backups that are made by themselves."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from osc_lib import exceptions
from osc_lib.command import command

from pumice.osc.explain import id_of
from pumice.osc.one import ShowThing, client_of
from pumice.osc.operation import of_all_projects, titles

COLUMNS = ("id", "name", "kind", "cron", "timezone", "enabled", "next_run_at")
RUN_COLUMNS = ("id", "due_at", "state", "volumes", "made", "failed", "error")
NAMES = "Its name or id"
KEPT = ("last", "daily", "weekly", "monthly")


class CreateSchedule(command.ShowOne):
    """Have snapshots or backups made at certain times"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The schedule."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("name", metavar="<name>")
        parser.add_argument("--kind", choices=("snapshot", "backup"), default="snapshot", help="What is made")
        parser.add_argument("--cron", metavar="<cron>", required=True, help="When: '0 3 * * *' is at three")
        parser.add_argument(
            "--timezone", metavar="<zone>", default="UTC", help="By whose clocks: Europe/Berlin"
        )
        about = parser.add_mutually_exclusive_group(required=True)
        about.add_argument("--volume", metavar="<volume>", help="Of this volume")
        about.add_argument("--group", metavar="<group>", help="Of the volumes of the group of this id")
        about.add_argument(
            "--tagged", metavar="<key=value>", action="append", help="Of every volume with this in its metadata"
        )
        parser.add_argument(
            "--full-every", type=int, metavar="<number>", help="Backups between are incremental"
        )
        parser.add_argument("--container", metavar="<container>", help="Where backups go")
        parser.add_argument("--disabled", action="store_true")
        return _with_kept(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Make it."""
        asked: dict[str, Any] = {"name": parsed_args.name, "kind": parsed_args.kind}
        asked |= {"cron": parsed_args.cron, "timezone": parsed_args.timezone, "keep": _kept(parsed_args)}
        asked |= {"enabled": not parsed_args.disabled, "group_id": parsed_args.group}
        asked |= {"full_every": parsed_args.full_every, "container": parsed_args.container}
        if parsed_args.volume:
            asked["volume_id"] = id_of(self, parsed_args.volume)
        if parsed_args.tagged:
            asked["metadata"] = dict(_pair(text) for text in parsed_args.tagged)
        body = {name: value for name, value in asked.items() if value is not None}
        return _shown(client_of(self).post("/schedules", json={"schedule": body}).json()["schedule"])


class ListSchedule(command.Lister):
    """List schedules"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        return of_all_projects(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them, with how their last run ended."""
        asked = {"all_projects": 1} if parsed_args.all_projects else {}
        found = client_of(self).get("/schedules", params=asked).json()["schedules"]
        rows = ((*(one[name] for name in COLUMNS), (one["last_run"] or {}).get("state")) for one in found)
        return [*titles(COLUMNS), "Last Run"], rows


class ShowSchedule(ShowThing):
    """Show a schedule, and how its last run ended"""

    path, key, metavar, names = "/schedules", "schedule", "<schedule>", NAMES

    def meant(self, client: Any, word: str) -> str:
        """The id of the schedule of this name."""
        return meant(client, word)

    def told(self, one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        """The schedule's fields."""
        return _shown(one)


class SetSchedule(command.Command):
    """Change a schedule: what is not said stays"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The changes."""
        parser = _named(super().get_parser(prog_name))
        parser.add_argument("--name", metavar="<name>")
        parser.add_argument("--cron", metavar="<cron>")
        parser.add_argument("--timezone", metavar="<zone>")
        parser.add_argument("--full-every", type=int, metavar="<number>")
        switch = parser.add_mutually_exclusive_group()
        switch.add_argument("--enable", dest="enabled", action="store_true", default=None)
        switch.add_argument("--disable", dest="enabled", action="store_false")
        return _with_kept(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change it."""
        client = client_of(self)
        names = ("name", "cron", "timezone", "full_every", "enabled")
        changes = {name: value for name in names if (value := getattr(parsed_args, name)) is not None}
        if kept := _kept(parsed_args):
            changes["keep"] = kept
        client.put(f"/schedules/{meant(client, parsed_args.schedule)}", json={"schedule": changes})


class DeleteSchedule(command.Command):
    """Delete a schedule; what it has made stays, and is yours to delete"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The schedule."""
        parser = _named(super().get_parser(prog_name))
        told = "Also what it has made, but for what somebody has renamed, described or tagged"
        parser.add_argument("--with-made", action="store_true", help=told)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete it."""
        client = client_of(self)
        path = f"/schedules/{meant(client, parsed_args.schedule)}"
        if parsed_args.with_made:
            client.post(f"{path}/actions/delete_with_made")
        else:
            client.delete(path)


class RunSchedule(command.ShowOne):
    """Run a schedule now"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The schedule."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Run it."""
        client = client_of(self)
        run = client.post(f"/schedules/{meant(client, parsed_args.schedule)}/actions/run").json()["run"]
        return list(run), list(run.values())


class ListRun(command.Lister):
    """List the runs of a schedule, the newest first"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The schedule."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them."""
        client = client_of(self)
        found = client.get(f"/schedules/{meant(client, parsed_args.schedule)}/runs").json()["runs"]
        return titles(RUN_COLUMNS), (tuple(one[name] for name in RUN_COLUMNS) for one in found)


def meant(client: Any, word: str) -> str:
    """The id of the schedule of this name; what is none is an id. Raises ``CommandError`` for two of them."""
    found = client.get("/schedules", params={"name": word}).json()["schedules"]
    if len(found) > 1:
        raise exceptions.CommandError(f"There are {len(found)} schedules named '{word}': name one by its id.")
    return str(found[0]["id"]) if found else word


def _shown(one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
    one["keep"] = (
        ", ".join(f"{rule}: {one['keep'][rule]}" for rule in KEPT if one["keep"][rule]) or "everything"
    )
    if one["metadata"]:
        one["metadata"] = ", ".join(f"{key}={value}" for key, value in one["metadata"].items())
    if last := one["last_run"]:
        one["last_run"] = f"{last['due_at']}: {last['state']}" + (f", {last['error']}" if last["error"] else "")
    names = [name for name in one if one[name] is not None]
    return names, [one[name] for name in names]


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("schedule", metavar="<schedule>", help=NAMES)
    return parser


def _with_kept(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    for rule, what in zip(KEPT, ("the last", "of each day", "of each week", "of each month"), strict=True):
        parser.add_argument(f"--keep-{rule}", type=int, metavar="<number>", help=f"Keep so many: {what}")
    return parser


def _kept(parsed_args: argparse.Namespace) -> dict[str, int] | None:
    said = {rule: getattr(parsed_args, f"keep_{rule}") for rule in KEPT}
    return {rule: number for rule, number in said.items() if number is not None} or None


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise exceptions.CommandError(f"'{text}' is no pair: say KEY=VALUE.")
    return key, value
