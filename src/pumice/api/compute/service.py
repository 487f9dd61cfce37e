"""The Compute API v2.1 as a service: ``/compute/v2.1``, the half of it that block storage needs."""

from pathlib import Path

from pumice.api import absent
from pumice.api.compute import (
    actions,
    addresses,
    availability,
    events,
    flavors,
    hypervisors,
    instance_actions,
    limits,
    rules,
    server_metadata,
    server_tags,
    servers,
    services,
    versions,
    volume_attachments,
)
from pumice.api.compute.links import PREFIX, VERSION
from pumice.api.compute.versions import VERSIONS
from pumice.api.context import ApiContext
from pumice.api.faults import named_fault
from pumice.api.service import Service
from pumice.model.errors import OverQuota

ROUTES = (
    *versions.ROUTES,
    *servers.ROUTES,
    *actions.ROUTES,
    *volume_attachments.ROUTES,
    *server_metadata.ROUTES,
    *server_tags.ROUTES,
    *instance_actions.ROUTES,
    *addresses.ROUTES,
    *flavors.ROUTES,
    *services.ROUTES,
    *hypervisors.ROUTES,
    *availability.ROUTES,
    *limits.ROUTES,
    *events.ROUTES,
)


def compute_service(ctx: ApiContext, policy_file: Path | None = None) -> Service:
    """The service. Every route below the version is also found with a project's id in its path."""
    return Service(
        ctx,
        prefix=PREFIX,
        types=("compute",),
        routes=ROUTES,
        policy_file=policy_file,
        policy_words=rules.WORDS,
        fault=named_fault,
        versions=VERSIONS,
        statuses={OverQuota: 403},
        project_in_path=True,
        project_below=VERSION,
        absent=absent.COMPUTE,
        removed=absent.REMOVED,
        media_types=("application/json", "application/vnd.openstack.compute+json", "text/plain"),
    )
