"""What an operator reads of an error: ``pytest.raises(Retryable, check=says(r"absent"))``."""

import re
from collections.abc import Callable

from pumice.model.errors import PumiceError


def says(pattern: str) -> Callable[[PumiceError], bool]:
    """Whether the error's message and detail have this."""
    return lambda error: re.search(pattern, error.in_full) is not None
