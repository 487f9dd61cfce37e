"""A cluster is refused where nothing can keep two of its members apart."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pumice.app.cli import app
from pumice.app.settings import load
from pumice.model.errors import Misconfigured

CLUSTER = '[backends.shared]\ncluster = "both"\n'
REFUSED = {
    'driver = "lvm"\nvolume_group = "vg"\ntarget = "lio"\n': "lvmlockd",
    'driver = "files"\n': "tgtd",
    'target = "tgt"\n': "tgtd",
    'target = "local"\n': "only the host where the bytes lie",
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pumice.toml"
    monkeypatch.setenv("PUMICE_CONFIG", str(path))
    return path


@pytest.mark.parametrize(("lines", "reason"), REFUSED.items())
def test_what_cannot_be_fenced_off_is_no_cluster(config: Path, lines: str, reason: str) -> None:
    config.write_text(CLUSTER + lines)
    with pytest.raises(Misconfigured, match=f"'cluster'.*{reason}"):
        load()
    config.write_text("[backends.shared]\n" + lines)
    assert load().backends["shared"].cluster is None


def test_a_cluster_of_what_every_member_reaches_is_one(config: Path) -> None:
    config.write_text(CLUSTER + 'driver = "files"\ntarget = "lio"\n')
    assert load().place("shared") == "both@shared"


def test_the_doctor_says_so_too(config: Path) -> None:
    config.write_text(CLUSTER)
    said = CliRunner().invoke(app, ["doctor"])
    assert said.exit_code != 0
    assert "cannot have a 'cluster'" in (said.output + str(said.exception))
