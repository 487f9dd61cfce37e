"""``openstack webhook …``: where a project is told what its operations do."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

from osc_lib.command import command

from pumice.osc.one import ShowThing, client_of
from pumice.osc.operation import of_all_projects, titles

COLUMNS = ("id", "url", "kinds", "outcomes", "enabled")
NAMES = "The webhook's id"


class ListWebhook(command.Lister):
    """List webhooks"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        return of_all_projects(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Iterator[Any]]:
        """List them."""
        asked = {"all_projects": 1} if parsed_args.all_projects else {}
        found = client_of(self).get("/webhooks", params=asked).json()["webhooks"]
        return titles(COLUMNS), (tuple(_word(one[name]) for name in COLUMNS) for one in found)


class ShowWebhook(ShowThing):
    """Show one webhook"""

    path, key, names = "/webhooks", "webhook", NAMES

    def told(self, one: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
        """The webhook's fields."""
        return _shown(one)


class CreateWebhook(command.ShowOne):
    """Make a webhook; its secret is shown this once"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("url", metavar="<url>", help="Where a POST is answered with 2xx")
        parser.add_argument("--disabled", action="store_true", help="Tell it nothing yet")
        return _with_options(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Make it."""
        asked = {"url": parsed_args.url, **_asked(parsed_args)}
        if parsed_args.disabled:
            asked["enabled"] = False
        return _shown(client_of(self).post("/webhooks", json={"webhook": asked}).json()["webhook"])


class SetWebhook(command.ShowOne):
    """Change a webhook; a new secret is shown this once"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser = _named(super().get_parser(prog_name))
        parser.add_argument("--url", metavar="<url>", help="Where it is told")
        parser.add_argument("--new-secret", action="store_true", help="Make another secret")
        either = parser.add_mutually_exclusive_group()
        either.add_argument("--enable", action="store_true", help="Tell it what happens from now on")
        either.add_argument("--disable", action="store_true", help="Tell it nothing")
        return _with_options(parser)

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Change it."""
        asked = _asked(parsed_args)
        if parsed_args.url:
            asked["url"] = parsed_args.url
        if parsed_args.new_secret:
            asked["new_secret"] = True
        if parsed_args.enable or parsed_args.disable:
            asked["enabled"] = parsed_args.enable
        changed = client_of(self).put(f"/webhooks/{parsed_args.id}", json={"webhook": asked})
        return _shown(changed.json()["webhook"])


class DeleteWebhook(command.Command):
    """Delete webhooks"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The webhooks."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument("ids", metavar="<id>", nargs="+", help="A webhook's id")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete them."""
        for webhook_id in parsed_args.ids:
            client_of(self).delete(f"/webhooks/{webhook_id}")


class TestWebhook(command.ShowOne):
    """Send a webhook a message that tells of nothing; "openstack operation watch" says how that went"""

    __test__ = False  # it is no test of pytest's

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The webhook."""
        return _named(super().get_parser(prog_name))

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[Sequence[str], Sequence[Any]]:
        """Send it."""
        begun = client_of(self).post(f"/webhooks/{parsed_args.id}/actions/test").json()
        return list(begun), list(begun.values())


def _with_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--kind", action="append", metavar="<kind>", help="volume.*; more than once for several"
    )
    parser.add_argument(
        "--outcome",
        action="append",
        metavar="<outcome>",
        help="start, end or error; more than once for several",
    )
    parser.add_argument(
        "--message-format", choices=("pumice", "cinder"), help="The event, or Cinder's notification"
    )
    parser.add_argument("--description", metavar="<text>", help="For people")
    parser.add_argument("--secret", metavar="<secret>", help="A secret of your own: whsec_ and base64")
    return parser


def _asked(parsed: argparse.Namespace) -> dict[str, Any]:
    given = {
        "kinds": parsed.kind,
        "outcomes": parsed.outcome,
        "format": parsed.message_format,
        "description": parsed.description,
        "secret": parsed.secret,
    }
    return {name: value for name, value in given.items() if value is not None}


def _named(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("id", metavar="<id>", help=NAMES)
    return parser


def _shown(webhook: dict[str, Any]) -> tuple[Sequence[str], Sequence[Any]]:
    return list(webhook), [_word(value) for value in webhook.values()]


def _word(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value
