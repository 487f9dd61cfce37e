"""What every test of backups leaves closed."""

from collections.abc import Iterator
from typing import Any

import pytest

from pumice.backends.backups.s3_client import connect


@pytest.fixture(autouse=True)
def _no_connection_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every client of a store: Pumice has its own for as long as it lives."""
    made: list[Any] = []

    def kept(*words: Any, **more: Any) -> Any:
        made.append(connect(*words, **more))
        return made[-1]

    monkeypatch.setattr("pumice.backends.backups.s3.connect", kept)
    yield
    for client in made:
        client.close()
