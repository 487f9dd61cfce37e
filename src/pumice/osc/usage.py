"""``openstack volume usage list``: GiB-hours by day, project and type."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from osc_lib.command import command

from pumice.osc.one import client_of
from pumice.osc.operation import of_all_projects, titles

COLUMNS = ("day", "project_id", "kind", "volume_type", "gib_hours")


class ListVolumeUsage(command.Lister):
    """List the GiB-hours of volumes with their snapshots, and of backups, by day and type"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--from", dest="first", metavar="<day>", help="2026-11-01; default: 30 days")
        parser.add_argument("--to", dest="last", metavar="<day>", help="Default: today, in UTC")
        parser.add_argument("--project", metavar="<project-id>", help="Another project's (admin only)")
        return of_all_projects(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them."""
        asked = {"from": parsed_args.first, "to": parsed_args.last, "project_id": parsed_args.project}
        asked["all_projects"] = 1 if parsed_args.all_projects else None
        given = {name: value for name, value in asked.items() if value is not None}
        found = client_of(self).get("/usage", params=given).json()["usage"]
        return titles(COLUMNS), (tuple(one[name] for name in COLUMNS) for one in found)
