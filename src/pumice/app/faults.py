"""Die, stop or fail at named steps: how tests kill a real process at every point of every operation.

``PUMICE_FAULT=volume.create/do/make_bytes/before`` kills the process with SIGKILL just before the step
``make_bytes`` of the first ``volume.create`` it carries. With ``=fail`` after it the step fails there instead,
for good and every time, which leads to the undo; with ``=stop`` the process stops there once (SIGSTOP), until
somebody lets it go on. Several are separated by commas.
"""

import os
import signal
from typing import Any

from pumice.model.errors import Misconfigured, PumiceError
from pumice.operations.operation import Operation
from pumice.operations.state_machine import FaultPoint, no_faults


def fault_point(named: str | None) -> FaultPoint:
    """The fault point of the setting ``fault``."""
    if not named:
        return no_faults
    faults = dict(map(_parse, named.split(",")))

    def strike(when: str, direction: str, step: str, op: Operation[Any]) -> None:
        match faults.get((op.kind, direction, step, when)):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                del faults[op.kind, direction, step, when]
                os.kill(os.getpid(), signal.SIGSTOP)
            case "fail":
                raise PumiceError(f"'{step}' fails on purpose.")

    return strike


def _parse(fault: str) -> tuple[tuple[str, ...], str]:
    point, _, effect = fault.partition("=")
    parts = tuple(point.split("/"))
    if len(parts) != 4 or effect not in ("", "kill", "stop", "fail"):
        raise Misconfigured(
            f"The fault '{fault}' is not of the form KIND/do|undo/STEP/before|after[=stop|fail]."
        )
    return parts, effect or "kill"
