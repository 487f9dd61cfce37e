"""Die at a named step: how tests kill a real process at every point of every operation.

``PUMICE_FAULT=volume.create/do/make_bytes/before`` kills the process with SIGKILL just before the step
``make_bytes`` of the first ``volume.create`` it carries.
"""

import os
import signal
from typing import Any

from pumice.model.errors import Misconfigured
from pumice.operations.course import FaultPoint, no_faults
from pumice.operations.operation import Operation


def fault_point(named: str | None) -> FaultPoint:
    """The fault point of the setting ``fault``."""
    if not named:
        return no_faults
    parts = tuple(named.split("/"))
    if len(parts) != 4:
        raise Misconfigured(f"The fault '{named}' is not of the form KIND/do|undo/STEP/before|after.")

    def die(when: str, direction: str, step: str, op: Operation[Any]) -> None:
        if (op.kind, direction, step, when) == parts:
            os.kill(os.getpid(), signal.SIGKILL)

    return die
