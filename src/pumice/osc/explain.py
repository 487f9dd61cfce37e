"""``openstack volume explain`` and ``volume why``: where one would be made, and why one is in its state."""

import argparse
from collections.abc import Sequence
from typing import Any

from osc_lib.command import command

from pumice.osc.one import client_of


class ExplainVolume(command.ShowOne):
    """Say where such a volume would be made and why, or what to ask for instead"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The volume."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("--size", type=int, metavar="<GiB>")
        parser.add_argument("--type", metavar="<volume-type>")
        parser.add_argument("--availability-zone", metavar="<zone>")
        parser.add_argument("--like", metavar="<volume>", help="What is not said is as this volume has it")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Ask."""
        asked = {"size": parsed_args.size, "volume_type": parsed_args.type}
        asked["availability_zone"] = parsed_args.availability_zone
        body: dict[str, Any] = {"volume": {name: value for name, value in asked.items() if value is not None}}
        if parsed_args.like:
            body["like"] = id_of(self, parsed_args.like)
        reply = client_of(self).post("/explain", json=body)
        told = reply.json()["explanation"]
        told["left"] = "\n".join(f"{one['pools']} after {one['filter']}" for one in told["left"])
        told["pools"] = "\n".join(_pool(one) for one in told["pools"])
        told["advice"] = "\n".join(told["advice"])
        told["availability_zones"] = ", ".join(told["availability_zones"])
        names = [name for name in told if told[name] not in (None, "")]
        return names, [told[name] for name in names]


class WhyVolume(command.Command):
    """Tell why a volume, or whatever has this id, is in its state, and what happens next"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The thing."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("volume", metavar="<volume>", help="Its name or id, or the id of something else")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Tell."""
        reply = client_of(self).get(f"/why/{id_of(self, parsed_args.volume)}")
        print(reply.json()["why"]["text"], file=self.app.stdout)


def id_of(asked: command.Command, word: str) -> str:
    """The id of the volume of this name; what is none may be an id."""
    manager: Any = asked.app.client_manager
    found = manager.sdk_connection.block_storage.find_volume(word)
    return str(found.id) if found else word


def _pool(one: dict[str, Any]) -> str:
    if one["fits"]:
        return f"{one['name']}: {one['weight']:.2f}"
    refused = (f"{it['filter']}: {it['figures']}" for it in one["verdicts"] if not it["passes"])
    return f"{one['name']}: {'; '.join(refused)}"
