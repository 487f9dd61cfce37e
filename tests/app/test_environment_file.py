"""/etc/pumice/environment: what the units get of it, commands get as well."""

from pathlib import Path

import pytest

from pumice.app.settings import load, read_environment

URL = "postgresql://pumice:se#cret$x@db.example/pumice"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The services' variables; the command stands in a directory without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PUMICE_DATABASE_URL", "PUMICE_LOG_LEVEL"):
        monkeypatch.setenv(name, "")  # so that whatever is set is taken back at the end
        monkeypatch.delenv(name)
    file = tmp_path / "etc" / "environment"
    file.parent.mkdir()
    file.write_text(f"# a remark\nPUMICE_DATABASE_URL='{URL}'\nPUMICE_LOG_LEVEL=debug\n")
    return file


def test_a_command_looks_into_the_database_of_the_services(file: Path) -> None:
    read_environment(file)
    assert load().database() == URL


def test_what_the_caller_says_counts_more(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUMICE_LOG_LEVEL", "error")
    read_environment(file)
    assert load().log_level == "error"


def test_another_settings_file_is_another_installation(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pumice.toml").write_text("")
    read_environment(file)
    assert load().database() != URL


def test_where_there_is_none_nothing_is_lacking(tmp_path: Path) -> None:
    read_environment(tmp_path / "environment")
