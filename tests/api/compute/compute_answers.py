"""What Compute answers: the schema of each route, and samples where there is no schema."""

from typing import Any

from answers import EVER, Later, Samples

_SERVER = "/v2.1/servers/{id}"

SCHEMAS = {
    "GET /": "versions.list_versions",
    "GET /v2.1": "versions.get_one_version",
    "GET /v2.1/": "versions.get_one_version",
    "GET /v2.1/servers": "servers.list_servers",
    "POST /v2.1/servers": "servers.create_server_with_admin_pass",
    "GET /v2.1/servers/detail": "servers.list_servers_detail",
    f"GET {_SERVER}": "servers.get_server",
    f"PUT {_SERVER}": "servers.update_server",
    f"DELETE {_SERVER}": "servers.delete_server",
    **{
        f"POST {_SERVER}/action {action}": "servers.server_actions_common_schema"
        for action in ("os-start", "os-stop", "reboot", "lock", "unlock", "os-resetState", "forceDelete")
    },
    "GET /v2.1/os-hypervisors/statistics": "hypervisors.get_hypervisor_statistics",
    f"POST {_SERVER}/action os-getConsoleOutput": "servers.get_console_output",
    f"GET {_SERVER}/os-volume_attachments": "servers.list_volume_attachments",
    f"GET {_SERVER}/os-volume_attachments/{{volume_id}}": "servers.show_volume_attachment",
    f"PUT {_SERVER}/os-volume_attachments/{{volume_id}}": "servers.update_attached_volume",
    f"DELETE {_SERVER}/os-volume_attachments/{{volume_id}}": "servers.detach_volume",
    f"GET {_SERVER}/metadata": "servers.list_server_metadata",
    f"POST {_SERVER}/metadata": "servers.update_server_metadata",
    f"PUT {_SERVER}/metadata": "servers.set_server_metadata",
    f"GET {_SERVER}/metadata/{{key}}": "servers.set_show_server_metadata_item",
    f"PUT {_SERVER}/metadata/{{key}}": "servers.set_show_server_metadata_item",
    f"DELETE {_SERVER}/metadata/{{key}}": "servers.delete_server_metadata_item",
    f"GET {_SERVER}/tags": "servers.list_tags",
    f"PUT {_SERVER}/tags": "servers.update_all_tags",
    f"DELETE {_SERVER}/tags": "servers.delete_all_tags",
    f"GET {_SERVER}/tags/{{tag}}": "servers.check_tag_existence",
    f"PUT {_SERVER}/tags/{{tag}}": "servers.update_tag",
    f"DELETE {_SERVER}/tags/{{tag}}": "servers.delete_tag",
    f"GET {_SERVER}/os-instance-actions": "servers.list_instance_actions",
    f"GET {_SERVER}/os-instance-actions/{{request_id}}": "servers.show_instance_action",
    f"GET {_SERVER}/ips": "servers.list_addresses",
    f"GET {_SERVER}/os-interface": "interfaces.list_interfaces",
    "GET /v2.1/flavors": "flavors.list_flavors",
    "POST /v2.1/flavors": "flavors.create_update_get_flavor_details",
    "GET /v2.1/flavors/detail": "flavors.list_flavors_details",
    "GET /v2.1/flavors/{id}": "flavors.create_update_get_flavor_details",
    "PUT /v2.1/flavors/{id}": "flavors.create_update_get_flavor_details",
    "DELETE /v2.1/flavors/{id}": "flavors.delete_flavor",
    "GET /v2.1/flavors/{id}/os-extra_specs": "flavors_extra_specs.set_get_flavor_extra_specs",
    "POST /v2.1/flavors/{id}/os-extra_specs": "flavors_extra_specs.set_get_flavor_extra_specs",
    "GET /v2.1/flavors/{id}/os-extra_specs/{key}": "flavors_extra_specs.set_get_flavor_extra_specs_key",
    "PUT /v2.1/flavors/{id}/os-extra_specs/{key}": "flavors_extra_specs.set_get_flavor_extra_specs_key",
    "DELETE /v2.1/flavors/{id}/os-extra_specs/{key}": "flavors_extra_specs.unset_flavor_extra_specs",
    "GET /v2.1/os-services": "services.list_services",
    "PUT /v2.1/os-services/{id}": "services.update_service",
    "PUT /v2.1/os-services/enable": "services.enable_disable_service",
    "PUT /v2.1/os-services/disable": "services.enable_disable_service",
    "PUT /v2.1/os-services/disable-log-reason": "services.disable_log_reason",
    "PUT /v2.1/os-services/force-down": "services.update_forced_down",
    "GET /v2.1/os-hypervisors": "hypervisors.list_search_hypervisors",
    "GET /v2.1/os-hypervisors/detail": "hypervisors.list_hypervisors_detail",
    "GET /v2.1/os-hypervisors/{id}": "hypervisors.get_hypervisor",
    "GET /v2.1/os-availability-zone": "availability_zone.list_availability_zone_list",
    "GET /v2.1/os-availability-zone/detail": "availability_zone.list_availability_zone_list_detail",
    "GET /v2.1/limits": "limits.get_limit",
    "GET /v2.1/os-quota-sets/{project_id}": "quotas.get_quota_set",
    "GET /v2.1/os-quota-sets/{project_id}/detail": "quotas.get_quota_set_details",
    "GET /v2.1/os-quota-sets/{project_id}/defaults": "quotas.get_quota_set",
    "GET /v2.1/extensions": "extensions.list_extensions",
    "GET /v2.1/os-keypairs": "keypairs.list_keypairs",
    "POST /v2.1/os-server-external-events": "server_external_events.create",
}

LATER: Later = {}

_ATTACHED = {"id": str, "volumeId": str, "serverId": str, "device": str}
_TAGGED = _ATTACHED | {"tag": (str, None)}


_HYPERVISOR = {
    **dict.fromkeys(("id", "hypervisor_hostname", "hypervisor_type", "host_ip"), str),
    **dict.fromkeys(("state", "status"), str),
    "hypervisor_version": int,
    "uptime": (str, None),
    "service": {"id": str, "host": str, "disabled_reason": (str, None)},
}
_WITH_SERVERS = _HYPERVISOR | {"servers": [{"uuid": str, "name": str}]}


def _always(shape: Any) -> Samples:
    return [(EVER, shape)]


SAMPLES: dict[str, Samples] = {
    # Tempest's newest schemas are older
    "POST /v2.1/os-server-external-events": [((2, 51), {"events": [{str: (str, int)}]})],
    "GET /v2.1/os-hypervisors/detail": [((2, 88), {"hypervisors": [(_HYPERVISOR, _WITH_SERVERS)]})],
    "GET /v2.1/os-hypervisors/{id}": [((2, 88), {"hypervisor": (_HYPERVISOR, _WITH_SERVERS)})],
    # Tempest knows no group without rules, and there are none here to have any
    f"GET {_SERVER}/os-security-groups": _always({"security_groups": [{"name": str}]}),
    # since 2.101 there is no body, of which Tempest's newest schema does not know
    f"POST {_SERVER}/os-volume_attachments": [
        (EVER, {"volumeAttachment": _ATTACHED}),
        ((2, 70), {"volumeAttachment": _TAGGED}),
        ((2, 79), {"volumeAttachment": _TAGGED | {"delete_on_termination": bool}}),
        ((2, 101), None),
    ],
}
