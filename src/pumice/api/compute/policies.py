"""Who may do what with compute: the incumbent's rule names, so that operators' policy files keep working.

A route asks its rule for the caller's own project: may somebody with these roles do this at all? Whose servers
those are is up to the store, which shows a caller only its project's, and an administrator all.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pumice.api.policy import ADMIN, ANYBODY, MEMBER, READER, SERVICE

OWN = "role:admin or user_id:%(user_id)s"


def rule(room: str, *names: str) -> tuple[str, ...]:
    """The rules of one resource: ``os_compute_api:ROOM:NAME`` each, or the room's own without names."""
    return tuple(f"os_compute_api:{room}:{name}" for name in names) or (f"os_compute_api:{room}",)


_READ = (
    *rule("servers", "index", "detail", "show", "show:flavor-extra-specs"),
    *rule("os-volumes-attachments", "index", "show"),
    *rule("server-metadata", "index", "show"),
    *rule("os-server-tags", "index", "show"),
    *rule("os-flavor-extra-specs", "index", "show"),
    *rule("os-quota-sets", "show"),
    *rule("os-instance-actions", "list", "show"),
    *rule("ips", "index", "show"),
    *rule("os-attach-interfaces", "list"),
    *rule("os-security-groups", "list"),
)

_WRITE = (
    *rule("servers", "create", "create:attach_volume", "update", "delete", "start", "stop", "reboot"),
    *rule("servers", "create_image"),
    *rule("os-volumes-attachments", "create", "update", "delete"),
    *rule("server-metadata", "create", "update", "update_all", "delete"),
    *rule("os-server-tags", "update", "update_all", "delete", "delete_all"),
    *rule("os-lock-server", "lock", "unlock"),
    *rule("os-console-output"),
)

_ADMINISTER = (
    *rule("servers", "index:get_all_tenants", "detail:get_all_tenants", "allow_all_filters"),
    *rule("servers", "show:host_status", "create:zero_disk_flavor"),
    *rule("os-flavor-manage", "create", "update", "delete"),
    *rule("os-flavor-extra-specs", "create", "update", "delete"),
    *rule("os-services", "list", "update"),
    *rule("os-hypervisors", "list", "list-detail", "show"),
    *rule("os-availability-zone", "detail"),
    *rule("os-admin-actions", "reset_state"),
    *rule("os-lock-server", "unlock:unlock_override"),
    *rule("os-instance-actions", "events", "events:details"),
    *rule("os-extended-server-attributes"),
)

_ANYBODY = (
    *rule("flavors"),
    *rule("os-availability-zone", "list"),
    *rule("limits"),
    *rule("extensions"),
    *rule("os-quota-sets", "defaults"),
)

_SERVICE = (*rule("os-server-external-events", "create"), *rule("os-volumes-attachments", "swap"))

DEFAULTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(_READ, READER)
    | dict.fromkeys(_WRITE, MEMBER)
    | dict.fromkeys(_ADMINISTER, ADMIN)
    | dict.fromkeys(_ANYBODY, ANYBODY)
    | dict.fromkeys(_SERVICE, SERVICE)
    | dict.fromkeys(rule("os-keypairs", "index"), OWN)
)
"""Every rule's default check string."""
