"""Whether the ``openstack`` command would take what the console shows: asked of the commands' own parsers."""

import contextlib
import io
import shlex
import warnings
from functools import cache
from types import SimpleNamespace

from cliff.commandmanager import CommandManager

GROUPS = ("compute.v2", "volume.v3", "image.v2", "identity.v3", "common", "pumice.v1")


@cache
def _commands() -> CommandManager:
    with warnings.catch_warnings(action="ignore"):  # what the clients warn of is not ours
        commands = CommandManager("openstack.cli")
        for group in GROUPS:
            commands.add_command_group(f"openstack.{group}")
    return commands


def refusal(command: str) -> str | None:
    """What ``openstack`` says of a command that it does not understand."""
    words = shlex.split(command)
    said = io.StringIO()
    try:
        factory, name, rest = _commands().find_command(words[1:])
        with contextlib.redirect_stderr(said):
            factory(SimpleNamespace(client_manager=None, options=SimpleNamespace()), None).get_parser(
                name
            ).parse_args(rest)
    except (SystemExit, ValueError) as error:
        return f"{command}: {said.getvalue().strip().splitlines()[-1:] or error}"
    return None
