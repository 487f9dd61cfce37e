"""Who may do what: the incumbent's rule names, so that operators' policy files keep working."""

from collections.abc import Mapping
from types import MappingProxyType

from pumice.api.policy import ADMIN, ANYBODY, MEMBER, READER

_READ = (
    "volume:get",
    "volume:get_all",
    "volume:get_volume_metadata",
    "volume:get_snapshot",
    "volume:get_all_snapshots",
    "volume:get_snapshot_metadata",
    "volume:get_all_transfers",
    "volume:get_transfer",
    "volume_extension:volume_image_metadata:show",
    "volume_extension:volume_encryption_metadata",
    "volume_extension:access_types_extra_specs",
    "volume_extension:type_get",
    "volume_extension:type_get_all",
    "volume_extension:types_extra_specs:index",
    "volume_extension:types_extra_specs:show",
    "volume_extension:quotas:show",
    "limits_extension:used_limits",
    "message:get",
    "message:get_all",
    "backup:get_all",
    "group:get_all",
    "group:get_all_group_snapshots",
)

_WRITE = (
    "volume:create",
    "volume:update",
    "volume:delete",
    "volume:create_volume_metadata",
    "volume:update_volume_metadata",
    "volume:delete_volume_metadata",
    "volume:extend",
    "volume:update_readonly_flag",
    "volume:create_snapshot",
    "volume:update_snapshot",
    "volume:delete_snapshot",
    "volume:update_snapshot_metadata",
    "volume:delete_snapshot_metadata",
    "volume:create_transfer",
    "volume:accept_transfer",
    "volume:delete_transfer",
    "volume:attachment_create",
    "volume:attachment_update",
    "volume:attachment_delete",
    "volume:attachment_complete",
    "volume_extension:volume_image_metadata:set",
    "volume_extension:volume_image_metadata:remove",
    "volume_extension:volume_actions:attach",
    "volume_extension:volume_actions:detach",
    "volume_extension:volume_actions:reserve",
    "volume_extension:volume_actions:unreserve",
    "volume_extension:volume_actions:begin_detaching",
    "volume_extension:volume_actions:roll_detaching",
    "volume_extension:volume_actions:initialize_connection",
    "volume:revert_to_snapshot",
    "volume:retype",
    "volume_extension:volume_actions:upload_image",
    "volume_extension:volume_actions:terminate_connection",
    "volume_extension:volume_type_access",
    "message:delete",
)

_ASK = (
    "volume_extension:availability_zone_list",
    "volume_extension:extensions",
    "volume_extension:resource_filters",
)

_ADMINISTER = (
    "volume:force_delete",
    "volume_extension:volume_admin_actions:reset_status",
    "volume_extension:volume_admin_actions:force_delete",
    "volume_extension:volume_admin_actions:force_detach",
    "volume_extension:snapshot_admin_actions:reset_status",
    "volume_extension:snapshot_admin_actions:force_delete",
    "volume_extension:type_create",
    "volume_extension:type_update",
    "volume_extension:type_delete",
    "volume_extension:types_extra_specs:create",
    "volume_extension:types_extra_specs:update",
    "volume_extension:types_extra_specs:delete",
    "volume_extension:types_extra_specs:read_sensitive",
    "volume_extension:access_types_qos_specs_id",
    "volume_extension:volume_type_access:get_all_for_type",
    "volume_extension:volume_type_access:addProjectAccess",
    "volume_extension:volume_type_access:removeProjectAccess",
    "volume_extension:volume_type_encryption:get",
    "volume_extension:volume_type_encryption:create",
    "volume_extension:volume_type_encryption:update",
    "volume_extension:volume_type_encryption:delete",
    "volume_extension:qos_specs_manage:get_all",
    "volume_extension:qos_specs_manage:get",
    "volume_extension:qos_specs_manage:create",
    "volume_extension:qos_specs_manage:update",
    "volume_extension:qos_specs_manage:delete",
    "volume_extension:quotas:update",
    "volume_extension:quotas:delete",
    "volume_extension:quota_classes:get",
    "volume_extension:quota_classes:update",
    "volume_extension:services:index",
    "volume_extension:services:update",
    "volume_extension:hosts",
    "volume_extension:capabilities",
    "volume_extension:default_get",
    "volume_extension:default_get_all",
    "volume_extension:default_set_or_update",
    "volume_extension:default_unset",
    "volume_extension:list_manageable",
    "volume_extension:volume_manage",
    "volume_extension:volume_unmanage",
    "volume_extension:volume_actions:upload_public",
    "snapshot_extension:list_manageable",
    "scheduler_extension:scheduler_stats:get_pools",
    "clusters:get_all",
    "clusters:get",
    "clusters:update",
)

DEFAULTS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(_ASK, ANYBODY)
    | dict.fromkeys(_READ, READER)
    | dict.fromkeys(_WRITE, MEMBER)
    | dict.fromkeys(_ADMINISTER, ADMIN)
)
"""Every rule's default check string."""
