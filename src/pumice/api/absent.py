"""What OpenStack's services have and this version does not: one sentence each, with what to do instead.

A word is a part of a path, or the key of an action's body; with a method before it, it is meant for that alone;
of two the second is the last of the path. A route that there is comes first.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType


def _all(names: Iterable[str], what: str, instead: str) -> dict[str, str]:
    return dict.fromkeys(names, f"{what} not part of this version of Pumice: {instead}.")


IDENTITY: Mapping[str, str] = MappingProxyType(
    _all(
        ("credentials", "OS-TRUST", "OS-OAUTH1"),
        "Logging in by anything but a password, an application credential or a token is",
        "make an application credential",
    )
    | _all(("OS-FEDERATION",), "Federation is", "make users")
    | _all(("limits", "registered_limits"), "Unified limits are", "set the quotas of each service")
    | _all(("implies",), "Making roles imply others is", "give each role by itself")
    | _all(("OS-INHERIT",), "Inheriting roles is", "give the role on each project")
    | _all(("ec2tokens", "s3tokens"), "Signing in by EC2's or S3's keys is", "make an application credential")
    | _all(("policies", "OS-ENDPOINT-POLICY"), "Policies in Identity are", "name a policy_file in the settings")
    | _all(("OS-EP-FILTER",), "Filtering endpoints by project is", "see the catalog, which is everybody's")
    | _all(("OS-REVOKE", "OS-SIMPLE-CERT", "OS-PKI"), "Signed tokens are", "validate them at /v3/auth/tokens")
    | _all(("config",), "Other stores of users are", "make users here")
)

IMAGE: Mapping[str, str] = MappingProxyType(
    _all(("import", "stage", "tasks"), "Importing images is", "upload the bytes to /v2/images/{id}/file")
    | _all(("stores", "locations"), "Choosing among stores is", "upload without: there is one")
    | _all(("metadefs",), "A catalog of metadata is", "set properties by their names")
    | _all(("cache", "cached_images", "queued_images"), "A cache of images is", "read them again")
)

VOLUME: Mapping[str, str] = MappingProxyType(
    _all(("failover",), "Replication is", "disable a service to take it out of scheduling")
)

_CONSOLES = (
    "os-getVNCConsole",
    "os-getSPICEConsole",
    "os-getSerialConsole",
    "os-getRDPConsole",
    "remote-consoles",
    "os-console-auth-tokens",
)
_NETWORKS = (
    "os-networks", "os-tenant-networks", "os-floating-ips", "os-floating-ip-pools", "os-security-groups",
    "os-security-group-rules", "os-interface", "addFloatingIp", "removeFloatingIp", "addFixedIp",
    "removeFixedIp", "addSecurityGroup", "removeSecurityGroup", "ips",
)  # fmt: skip
_STATES = (
    "pause", "unpause", "suspend", "resume", "shelve", "shelveOffload", "unshelve", "rescue", "unrescue",
)  # fmt: skip
_MOVES = (
    "resize", "confirmResize", "revertResize", "migrate", "os-migrateLive", "evacuate", "migrations",
    "os-migrations",
)  # fmt: skip

_NO_NETWORK = "make servers without: networks 'none', openstack's --no-network"

COMPUTE: Mapping[str, str] = MappingProxyType(
    _all(("os-keypairs",), "Key pairs are", "put keys into the image that servers boot from")
    | _all(_NETWORKS, "Networks are", _NO_NETWORK)
    | _all(_CONSOLES, "Graphical consoles are", "read the serial console by os-getConsoleOutput")
    | _all(_STATES, "This state of a server is", "stop and start it")
    | _all(_MOVES, "Moving or resizing a server is", "make another server from its volumes")
    | _all(("rebuild",), "Rebuilding a server is", "delete it, and make another with the same volumes")
    | _all(("createBackup",), "Backing up a server is", "make snapshots of its volumes")
    | _all(("changePassword", "os-server-password"), "Setting a password is", "log in and change it there")
    | _all(("os-server-groups",), "Groups of servers are", "choose hosts by availability zone")
    | _all(("os-aggregates", "os-hosts"), "Aggregates of hosts are", "see os-services and os-hypervisors")
    | _all(
        ("os-flavor-access", "addTenantAccess", "flavors action"),
        "Giving private flavors to projects is",
        "make it public",
    )
    | _all(
        ("images", "os-volumes", "os-snapshots", "os-volumes_boot"),
        "Other services' resources are",
        "ask the image service and the block storage service themselves",
    )
    | _all(
        ("os-simple-tenant-usage", "os-instance_usage_audit_log"),
        "Accounts of what was used are",
        "see the limits, or /metrics",
    )
    | _all(("os-quota-class-sets",), "Classes of quotas are", "set the quotas of volumes by project")
    | _all(("diagnostics", "topology"), "A server's inside is", "look at its host")
    | _all(("restore",), "Bringing back what was deleted is", "keep its volumes, and make another from them")
    | _all(("trigger_crash_dump",), "Interrupting a guest is", "stop it")
    | _all(("resetNetwork", "injectNetworkInfo"), "Networks are", _NO_NETWORK)
    | _all(("shares", "os-shares"), "Sharing file systems is", "attach a multiattach volume")
    | _all(("os-assisted-volume-snapshots",), "Snapshots by the hypervisor are", "make them of the volume")
    | _all(("PUT os-quota-sets", "DELETE os-quota-sets"), "Quotas of servers are", "set the quotas of volumes")
    | _all(("DELETE os-services",), "Deleting a service is", "have its host forgotten where Pumice runs")
    | _all(
        ("uptime", "search", "os-hypervisors servers"),
        "Looking further into hypervisors is",
        "see os-hypervisors/detail, and the servers of a host by its name",
    )
    | _all(("os-baremetal-nodes",), "Bare metal is", "nothing replaces it")
)

REMOVED = frozenset(
    (
        *("os-agents", "os-cells", "os-certificates", "os-cloudpipe", "os-fixed-ips", "os-floating-ip-dns"),
        *("os-floating-ips-bulk", "os-fping", "os-security-group-default-rules", "os-virtual-interfaces"),
        "consoles",
    )
)
"""What Nova itself has removed, and answers 410 for (34.0.0: ``HTTPGone`` in ``api/openstack/compute``)."""
GONE = "This resource is no longer available. No forwarding address is given."
"""What an answer of 410 says."""
