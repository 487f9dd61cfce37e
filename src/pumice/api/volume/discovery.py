"""What this API can do, told to clients that ask: extensions, and the filters that tenants may use."""

from pumice.api.call import Call, Reply
from pumice.api.faults import HttpError
from pumice.api.policy import ANYBODY, Rule
from pumice.api.routing import Route
from pumice.api.volume.filters import CONFIGURED

_EXTENSIONS = (
    ("os-admin-actions", "AdminActions", "2012-08-25T00:00:00+00:00", "Enable admin actions."),
    ("os-availability-zone", "AvailabilityZones", "2013-06-27T00:00:00+00:00", "Describe Availability Zones."),
    ("capabilities", "Capabilities", "2015-08-31T00:00:00+00:00", "Capabilities support."),
    ("os-extended-services", "ExtendedServices", "2014-01-10T00:00:00-00:00", "Extended services support."),
    (
        "os-extended-snapshot-attributes",
        "ExtendedSnapshotAttributes",
        "2012-06-19T00:00:00+00:00",
        "Extended SnapshotAttributes support.",
    ),
    ("os-hosts", "Hosts", "2011-06-29T00:00:00+00:00", "Admin-only host administration."),
    ("os-quota-class-sets", "QuotaClasses", "2012-03-12T00:00:00+00:00", "Quota classes management support."),
    ("os-quota-sets", "Quotas", "2011-08-08T00:00:00+00:00", "Quota management support."),
    (
        "OS-SCH-HNT",
        "SchedulerHints",
        "2013-04-18T00:00:00+00:00",
        "Pass arbitrary key/value pairs to the scheduler.",
    ),
    ("scheduler-stats", "Scheduler_stats", "2014-09-07T00:00:00+00:00", "Scheduler stats support."),
    ("os-services", "Services", "2012-10-28T00:00:00-00:00", "Services support."),
    ("os-types-extra-specs", "TypesExtraSpecs", "2011-08-24T00:00:00+00:00", "Type extra specs support."),
    ("os-types-manage", "TypesManage", "2011-08-24T00:00:00+00:00", "Types manage support."),
    (
        "os-used-limits",
        "UsedLimits",
        "2013-10-03T00:00:00+00:00",
        "Provide data on limited resources that are being used.",
    ),
    ("os-volume-actions", "VolumeActions", "2012-05-31T00:00:00+00:00", "Enable volume actions."),
    (
        "os-vol-host-attr",
        "VolumeHostAttribute",
        "2011-11-03T00:00:00+00:00",
        "Expose host as an attribute of a volume.",
    ),
    (
        "os-vol-image-meta",
        "VolumeImageMetadata",
        "2012-12-07T00:00:00+00:00",
        "Show image metadata associated with the volume.",
    ),
    (
        "os-vol-tenant-attr",
        "VolumeTenantAttribute",
        "2011-11-03T00:00:00+00:00",
        "Expose the internal project_id as an attribute of a volume.",
    ),
    ("os-volume-type-access", "VolumeTypeAccess", "2014-06-26T00:00:00Z", "Volume type access support."),
)
"""Alias, name, date and purpose, as Cinder tells them, of those that work here."""

EXTENSIONS = [
    {"alias": alias, "name": name, "updated": updated, "description": description, "links": []}
    for alias, name, updated, description in _EXTENSIONS
]


async def extensions(call: Call) -> Reply:
    """List every extension."""
    return Reply({"extensions": EXTENSIONS})


async def extension(call: Call) -> Reply:
    """Show one extension, by its alias."""
    for one in EXTENSIONS:
        if one["alias"] == call.args["alias"]:
            return Reply({"extension": one})
    raise HttpError(404, f"There is no extension {call.args['alias']}.")


async def resource_filters(call: Call) -> Reply:
    """The filters of every resource, or of one (3.33)."""
    wanted = call.query.get("resource")
    rows = [
        {"resource": resource, "filters": list(filters)}
        for resource, filters in CONFIGURED.items()
        if wanted in (None, resource)
    ]
    return Reply({"resource_filters": rows})


ROUTES = (
    Route("GET", "/extensions", extensions, Rule("volume_extension:extensions", ANYBODY)),
    Route("GET", "/extensions/{alias}", extension, Rule("volume_extension:extensions", ANYBODY)),
    Route(
        "GET",
        "/resource_filters",
        resource_filters,
        Rule("volume_extension:resource_filters", ANYBODY),
        since=(3, 33),
    ),
)
