"""What the commands that show one thing of Pumice's own API have in common."""

import argparse
from collections.abc import Sequence
from typing import Any, ClassVar

from osc_lib.command import command


def client_of(asked: command.Command) -> Any:
    """The client that ``plugin.py`` makes."""
    manager: Any = asked.app.client_manager
    return manager.pumice


class ShowThing(command.ShowOne):
    """Shows the thing of an id, or of whatever else ``meant`` takes for one"""

    path: ClassVar[str]
    """The path of its collection: ``/webhooks``."""
    key: ClassVar[str]
    """The key of an answer under which it is."""
    metavar: ClassVar[str] = "<id>"
    names: ClassVar[str]
    """What it can be named by, for the command's help."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The thing."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("thing", metavar=self.metavar, help=self.names)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Show it."""
        client = client_of(self)
        return self.told(client.get(f"{self.path}/{self.meant(client, parsed_args.thing)}").json()[self.key])

    def meant(self, _client: Any, word: str) -> str:
        """The id that a word means."""
        return word

    def told(self, one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        """The names and values of its fields, as they are printed."""
        return list(one), list(one.values())
