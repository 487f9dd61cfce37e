"""The Block Storage API as a whole: its routes, its versions, its rules."""

from dataclasses import replace
from pathlib import Path

from pumice.api import absent
from pumice.api.context import ApiContext
from pumice.api.faults import named_fault
from pumice.api.routing import Route
from pumice.api.service import Service
from pumice.api.volume import (
    attach_actions,
    attachments,
    backups,
    clusters,
    consistency_groups,
    default_types,
    discovery,
    encryption,
    extra_specs,
    group_snapshots,
    group_types,
    groups,
    hosts,
    image_metadata,
    log_levels,
    manage,
    messages,
    metadata,
    moves,
    pools,
    qos_specs,
    quotas,
    replication,
    rules,
    services,
    snapshots,
    transfers,
    versions,
    volume_actions,
    workers,
)
from pumice.api.volume.links import PREFIX, VERSION
from pumice.api.volume.name_cache import NameCache
from pumice.api.volume.openapi import Documents
from pumice.api.volume.types import Types
from pumice.api.volume.volumes import Volumes


def volume_routes() -> list[Route]:
    """The routes of Block Storage, whose handlers share what is known of types and services."""
    names = NameCache()
    tables = (
        Volumes(names).routes,
        metadata.ROUTES,
        attach_actions.ROUTES,
        volume_actions.ROUTES,
        moves.ROUTES,
        image_metadata.ROUTES,
        attachments.ROUTES,
        snapshots.ROUTES,
        backups.ROUTES,
        transfers.ROUTES,
        Types(names).routes,
        extra_specs.ROUTES,
        default_types.ROUTES,
        encryption.ROUTES,
        qos_specs.ROUTES,
        group_types.ROUTES,
        groups.ROUTES,
        group_snapshots.ROUTES,
        consistency_groups.ROUTES,
        quotas.ROUTES,
        services.ROUTES,
        log_levels.ROUTES,
        hosts.ROUTES,
        replication.ROUTES,
        workers.ROUTES,
        clusters.ROUTES,
        pools.ROUTES,
        manage.ROUTES,
        messages.ROUTES,
        discovery.ROUTES,
    )
    routes = [_versioned(route) for table in tables for route in table]
    documents = Documents(routes)
    told = (
        Route("GET", f"{VERSION}/openapi.json", documents.json, None),
        Route("GET", f"{VERSION}/openapi.html", documents.html, None),
    )
    return [*versions.ROUTES, *told, *routes]


def volume_service(ctx: ApiContext, policy_file: Path | None = None) -> Service:
    """Block storage below ``/volume``: version documents at ``/`` and ``/v3``, everything else below ``/v3``.

    Every path below ``/v3`` may have a project's id in front, at every microversion.
    """
    return Service(
        ctx,
        prefix=PREFIX,
        types=("block-storage", "volumev3", "volumev2", "volume"),
        routes=volume_routes(),
        policy_file=policy_file,
        policy_words=rules.WORDS,
        fault=named_fault,
        versions=versions.VERSIONS,
        project_in_path=True,
        project_below=VERSION,
        absent=absent.VOLUME,
        media_types=("application/json", "application/vnd.openstack.volume+json"),
    )


def _versioned(route: Route) -> Route:
    return replace(route, path=VERSION + route.path)
