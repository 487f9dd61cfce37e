"""Cleaning up after services that died (api-ref, "Workers").

There is nothing to clean, ever: an operation whose worker died is brought to its end by another, or by the same
once it is back. So a cleanup is accepted, and no service has any to do.
"""

from typing import Literal

from pumice.api.call import Call, Reply, check
from pumice.api.fields import Body, Boolean, Text, Uuid
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid

TYPES = ("Snapshot", "Volume")


class Cleanup(Body):
    """Whose work, and on what."""

    cluster_name: Text | None = None
    disabled: Boolean | None = None
    host: Text | None = None
    is_up: Boolean | None = None
    binary: Literal["cinder-volume", "cinder-scheduler"] | None = None
    resource_id: Uuid | None = None
    resource_type: Text | None = None
    service_id: int | Text | None = None


async def cleanup(call: Call) -> Reply:
    """No service has anything to clean: 202."""
    asked = check(Cleanup, await call.json())
    if asked.resource_type and asked.resource_type.title() not in TYPES:
        raise Invalid(
            f"Invalid input received: Resource type {asked.resource_type.title()} not valid, "
            f"must be {' or '.join(TYPES)}"
        )
    if asked.resource_id and not asked.model_fields_set & {"service_id", "cluster_name", "host"}:
        raise Invalid(
            f"Invalid input received: There is no resource with UUID {asked.resource_id} pending cleanup."
        )
    return Reply({"cleaning": [], "unavailable": []}, 202)


ROUTES = (Route("POST", "/workers/cleanup", cleanup, Rule("workers:cleanup", ADMIN), since=(3, 24)),)
