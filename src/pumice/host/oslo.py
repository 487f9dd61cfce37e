"""oslo's libraries, with threads in place of eventlet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def with_threads() -> Iterator[None]:
    """Import what builds on ``oslo.service`` in here. Raises ``ImportError``.

    oslo's libraries import eventlet where they find it, and a thread that has imported it never ends. They are
    told to use threads, and do not find it.
    """
    absent = cast(ModuleType, None)  # what Python takes for a module that cannot be found
    before = sys.modules.setdefault("eventlet", absent)
    try:
        from oslo_service import backend

        if backend.get_backend_type() is None:
            backend.init_backend(backend.BackendType.THREADING)
        yield
    finally:
        if before is None:
            del sys.modules["eventlet"]
