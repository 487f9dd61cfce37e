"""Each command of the plug-in for ``openstack`` has options that go with those that all commands have."""

import tomllib
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

GROUPS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["entry-points"]
COMMANDS: dict[str, str] = GROUPS["openstack.pumice.v1"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_can_be_asked_for_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    place, _, word = COMMANDS[name].partition(":")
    application: Any = SimpleNamespace(command_manager=SimpleNamespace(namespace="none"))
    command = getattr(import_module(place), word)(application, None)
    with pytest.raises(SystemExit) as ended:
        command.get_parser(f"openstack {name.replace('_', ' ')}").parse_args(["--help"])
    assert ended.value.code == 0 and "usage:" in capsys.readouterr().out
