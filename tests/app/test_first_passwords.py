"""The first users' passwords, also when many processes start at once on one state directory."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pumice.app.passwords import first_passwords
from pumice.app.settings import Settings

MANY = 8


def test_processes_that_start_at_once_agree_on_the_passwords(tmp_path: Path) -> None:
    for number in range(20):
        settings = Settings(state_dir=tmp_path / str(number))
        settings.state_dir.mkdir()
        together = threading.Barrier(MANY)

        def start(settings: Settings = settings, together: threading.Barrier = together) -> dict[str, str]:
            together.wait()
            return first_passwords(settings)

        with ThreadPoolExecutor(MANY) as threads:
            found = [one.result() for one in [threads.submit(start) for _ in range(MANY)]]
        assert found == [first_passwords(settings)] * MANY


def test_they_stay_and_a_setting_counts_more(tmp_path: Path) -> None:
    kept = first_passwords(Settings(state_dir=tmp_path))
    given = first_passwords(
        Settings.model_validate({"state_dir": tmp_path, "identity": {"demo_password": "d"}})
    )
    assert given == kept | {"demo": "d"}
    assert first_passwords(Settings(state_dir=tmp_path)) == given


def test_nobody_else_reads_them(tmp_path: Path) -> None:
    first_passwords(Settings(state_dir=tmp_path))
    assert (tmp_path / "passwords.yaml").stat().st_mode & 0o077 == 0
