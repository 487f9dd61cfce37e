"""``openstack volume create --watch``: what a command of python-openstackclient makes, until it is there.

A hook of cliff's adds the option to the command; nothing of the command is replaced. Another cloud than
Pumice's has no operations: there the option says that the service was not found.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from cliff.hooks import CommandHook
from osc_lib.exceptions import CommandError

from pumice.osc.operation import meant, watch


class _Watch(CommandHook):
    """Adds ``--watch``; what it tells meanwhile is on standard error, as the answer may be JSON."""

    read: ClassVar[str]
    """The name of openstacksdk's method that reads such a thing."""

    def get_parser(self, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
        """The option."""
        told = "Tell each step, and how far a copy is, until it is there (Pumice)"
        parser.add_argument("--watch", action="store_true", help=told)
        return parser

    def get_epilog(self) -> None:
        """Add nothing to the help."""

    def before(self, parsed_args: argparse.Namespace) -> argparse.Namespace:
        """As it was asked."""
        return parsed_args

    def after(self, parsed_args: argparse.Namespace, return_code: Any) -> Any:
        """Watch what was made; the answer with its status of then. Raises ``CommandError`` if it failed.

        cliff gives a command that shows something its columns and values, and no code.
        """
        if not parsed_args.watch:
            return return_code
        made: dict[str, Any] = dict(zip(*return_code, strict=True))
        app: Any = self.cmd.app
        manager = app.client_manager
        one = watch(manager.pumice, meant(manager.pumice, made["id"]), sys.stderr)
        if one["state"] != "done":
            raise CommandError(one["error"] or "The operation failed.")
        if "status" in made:
            made["status"] = getattr(manager.sdk_connection.block_storage, self.read)(made["id"]).status
        columns: Sequence[str] = tuple(made)
        return columns, tuple(made.values())


class WatchVolume(_Watch):
    """The option of ``volume create``."""

    read = "get_volume"


class WatchSnapshot(_Watch):
    """The option of ``volume snapshot create``."""

    read = "get_snapshot"


class WatchBackup(_Watch):
    """The option of ``volume backup create``."""

    read = "get_backup"
