"""Each driver has settings of its own, and packages that are installed bring drivers with theirs."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pumice.app.settings import load
from pumice.backends.registry import BACKENDS
from pumice.backends.targets.registry import TARGETS
from pumice.model.errors import Misconfigured

REFUSED = {
    'driver = "lvm"\n': r"\[backends.one\] needs a 'volume_group'",
    'driver = "lvm"\nvolume_group = "vg"\ncapacity_gb = 5\n': "a setting of fake and files, and its driver is",
    'volume_group = "vg"\n': "a setting of lvm, and its driver is 'files'",
    'driver = "lvn"\n': "There is no driver 'lvn'. Did you mean 'lvm'?",
    'driver = "cephfs"\n': "There is no driver 'cephfs'. There are fake, files, lvm.",
    'driver = "rbd"\n': "driver = 'rbd' needs either 'pool' or 'pools'",
    'driver = "rbd"\npool = "volumes/namespace"\n': "has one of '@#:/ ', which stand between names",
    'driver = "rbd"\npools = { fast = "volumes", slow = "volumes" }\n': "two of 'pools' are the same pool",
    'driver = "rbd"\npool = "volumes"\nuser = "client.pumice"\n': "'client.pumice' is told without 'client.'",
    "driver = 5\n": "There is no driver '5'",
    'target = "tgtd"\n': "There is no driver 'tgtd'. Did you mean 'tgt'?",
    'target = "shared"\n': "target = 'shared' needs 'pools': directories that every host has mounted",
    'driver = "lvm"\nvolume_group = "vg"\ntarget = "shared"\n': "'local' lets servers of this host open",
    'driver = "lvm"\nvolume_group = "vg"\nthin_pol = "x"\n': "Did you mean 'backends.one.thin_pool'?",
    'driver = "lvm"\nvolume_group = "vg"\nautoextend_threshold = 5\n': "backends.one.autoextend_threshold: ",
}

OURS = 'driver = "s3"\nbucket = "ours"\naccess_key = "k"\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pumice.toml"
    monkeypatch.setenv("PUMICE_CONFIG", str(path))
    return path


@pytest.mark.parametrize(("lines", "told"), REFUSED.items())
def test_what_a_driver_does_not_have_is_refused_in_a_sentence(config: Path, lines: str, told: str) -> None:
    config.write_text("[backends.one]\n" + lines)
    with pytest.raises(Misconfigured, match=told):
        load()


@pytest.mark.parametrize(
    ("lines", "told"),
    {
        'driver = "posix"\n': "needs a 'path'",
        'driver = "s3"\nbucket = "ours"\n': "needs a 'bucket', an 'access_key' and a 'secret_key'",
        'driver = "s3"\nendpoint = "s3.example"\n': "an endpoint is a URL",
        'driver = "s3"\nendpoint = "https://me:hush@s3.example"\n': "without a password",
        f'{OURS}secret_key = "hush"\nencryption_key = "hush"\n': "an 'encryption_key' has 32 characters",
        f'{OURS}secret_kex = "hush"\n': "Did you mean 'backup.secret_key'",
    }.items(),
)
def test_settings_of_backups_that_make_no_sense_are_told_without_secrets(
    config: Path, lines: str, told: str
) -> None:
    config.write_text("[backup]\n" + lines)
    with pytest.raises(Misconfigured, match=told) as refused:
        load()
    assert "hush" not in str(refused.value)


def test_each_driver_has_its_own_settings(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('[backends.one]\n[backends.two]\ndriver = "lvm"\nvolume_group = "vg"\n')
    monkeypatch.setenv("PUMICE_BACKENDS__TWO__THIN", "false")
    monkeypatch.setenv("PUMICE_BACKENDS__TWO__DEVICES", '["/dev/vdb"]')
    chosen = load().backends
    assert type(chosen["one"]) is BACKENDS.find("files")
    assert chosen["two"] == BACKENDS.find("lvm")(volume_group="vg", thin=False, devices=["/dev/vdb"])


def test_every_driver_is_named_as_in_the_registry_and_each_of_its_settings_is_explained() -> None:
    for name, schema in BACKENDS.every.items():
        assert schema.model_fields["driver"].default == name
    for schema in (*BACKENDS.every.values(), *TARGETS.every.values()):
        assert all(field.description for field in schema.model_fields.values()), schema


TOY = """
    from typing import Literal
    from pydantic import Field
    from pumice.backends.files_settings import FilesSettings
    from pumice.backends.targets.fake import FakeTarget
    from pumice.backends.targets.settings import TargetSettings

    class Shelf(FilesSettings):
        driver: Literal["shelf"] = Field("shelf", description="Where the bytes live.")
        boards: int = Field(description="How many boards it has.")

    class Ladder(TargetSettings):
        rungs: int = Field(5, description="How many rungs it has.")

        def open(self, state_dir):
            return FakeTarget(f"192.0.2.{self.rungs}:3260"), None
"""
POINTS = """
    [pumice.backends]
    shelf = toy_drivers:Shelf
    files = toy_drivers:Shelf
    broken = toy_drivers:NotThere
    [pumice.targets]
    ladder = toy_drivers:Ladder
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A package with drivers, as ``pip`` leaves it."""
    site = tmp_path / "site"
    metadata = site / "toy_drivers-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "toy_drivers.py").write_text(textwrap.dedent(TOY))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-drivers\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(textwrap.dedent(POINTS))
    return site


def settings(site: Path, toml: str) -> subprocess.CompletedProcess[str]:
    """What ``pumice settings`` says where the package is installed."""
    (site / "pumice.toml").write_text(toml)
    env = os.environ | {"PYTHONPATH": f"{site}:{os.environ.get('PYTHONPATH', '')}"}
    argv = [sys.executable, "-m", "pumice", "settings"]
    return subprocess.run(argv, env=env, cwd=site, capture_output=True, text=True, check=False)


def test_a_package_brings_drivers_and_their_settings(installed: Path) -> None:
    told = settings(
        installed, '[backends.a]\ndriver = "shelf"\nboards = 3\ntarget = "ladder"\n[targets.ladder]\n'
    )
    assert told.returncode == 0, told.stderr
    assert "backends.a.boards = 3" in told.stdout and "targets.ladder.rungs = 5" in told.stdout
    told = settings(installed, "[backends.a]\n")  # no package replaces a driver of ours
    assert told.returncode == 0 and "backends.a.boards" not in told.stdout


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[backends.a]\ndriver = "shelf"\n', "[backends.a] needs a 'boards' (How many boards it has.)"),
        ("[backends.a]\nboards = 3\n", "a setting of shelf, and its driver is 'files'"),
        (
            '[backends.a]\ndriver = "broken"\n',
            "'broken' of an installed package cannot be used: module 'toy_drivers'",
        ),
        ("[targets.ladder]\nrung = 4\n", "Did you mean 'targets.ladder.rungs'?"),
    ],
)
def test_what_is_wrong_with_a_packages_driver_is_told(installed: Path, toml: str, said: str) -> None:
    told = settings(installed, toml)
    assert told.returncode == 1 and said in " ".join(told.stderr.split()), told.stderr
