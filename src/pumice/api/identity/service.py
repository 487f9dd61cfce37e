"""Identity v3 as a service: its routes under ``/identity/v3``, and the version documents above them."""

from dataclasses import replace
from pathlib import Path

from pumice.api.absent import IDENTITY
from pumice.api.context import ApiContext
from pumice.api.faults import titled_fault
from pumice.api.identity import (
    application_credentials,
    auth,
    discovery,
    domains,
    endpoints,
    grants,
    groups,
    projects,
    regions,
    roles,
    rules,
    services,
    users,
)
from pumice.api.identity.reach import domain_of
from pumice.api.service import Service

PREFIX = "/identity"

RESOURCES = (
    *(auth, users, groups, application_credentials, projects, domains, roles, grants),
    *(services, endpoints, regions),
)

ROUTES = (
    *discovery.ROUTES,
    *(replace(route, path=f"/v3{route.path}") for resource in RESOURCES for route in resource.ROUTES),
)


def identity_service(ctx: ApiContext, policy_file: Path | None = None) -> Service:
    """The service. The context's ``tokens`` must be ``LocalTokens``, for it gives them out."""
    return Service(
        ctx,
        prefix=PREFIX,
        types=("identity",),
        routes=ROUTES,
        policy_file=policy_file,
        policy_words=rules.WORDS,
        fault=titled_fault,
        ignores_last_slash=True,
        absent=IDENTITY,
        domain_of=domain_of,
    )
