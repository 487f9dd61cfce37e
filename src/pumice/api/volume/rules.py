"""What Cinder's policy files name besides its rules, and the rules that guard a part of an answer.

An operator's file works as it is: it may refer to the rules that Cinder's defaults are made of, change them,
and name rules as they were called before.
"""

from types import MappingProxyType

from pumice.api.policy import ADMIN, IS_ADMIN, MEMBER, READER, Rule, Words

_MADE_OF = {
    ADMIN: "admin_api",
    MEMBER: "xena_system_admin_or_project_member",
    READER: "xena_system_admin_or_project_reader",
}
_TYPES, _GROUP_TYPES = "volume_extension:type_", "group:group_types"
WORDS = Words(
    rules=MappingProxyType(
        {
            "context_is_admin": ADMIN,
            "admin_api": IS_ADMIN,
            "admin_or_owner": "is_admin:True or project_id:%(project_id)s",
            "system_or_domain_or_project_admin": "role:admin and "
            "(system_scope:all or domain_id:%(domain_id)s or project_id:%(project_id)s)",
        }
        | {name: check for check, name in _MADE_OF.items() if check != ADMIN}
    ),
    standing=MappingProxyType(_MADE_OF),
    former=MappingProxyType(
        {f"{_TYPES}{verb}": "volume_extension:types_manage" for verb in ("create", "update", "delete")}
        | {f"{_GROUP_TYPES}:{verb}": f"{_GROUP_TYPES}_manage" for verb in ("create", "update", "delete")}
        | {
            f"{_GROUP_TYPES}_specs:{verb}": f"{_GROUP_TYPES}_specs"
            for verb in ("get", "get_all", "create", "update", "delete")
        }
        | {
            f"volume_extension:quota_classes:{verb}": "volume_extension:quota_classes"
            for verb in ("get", "update")
        }
        | {
            f"volume_extension:volume_image_metadata:{verb}": "volume_extension:volume_image_metadata"
            for verb in ("show", "set", "remove")
        }
    ),
)
"""Cinder's."""

FROM_IMAGE = Rule("volume:create_from_image", MEMBER)
FOR_MANY = Rule("volume:multiattach", MEMBER)
BOOTABLE_FOR_MANY = Rule("volume:multiattach_bootable_volume", MEMBER)
EXTEND_ATTACHED = Rule("volume:extend_attached_volume", MEMBER)

SEES_HOST = Rule("volume_extension:volume_host_attribute", ADMIN)
SEES_PROJECT = Rule("volume_extension:volume_tenant_attribute", READER)
SEES_MOVES = Rule("volume_extension:volume_mig_status_attribute", ADMIN)
SEES_IMAGE = Rule("volume_extension:volume_image_metadata:show", READER)
VOLUME_VIEW = (SEES_HOST, SEES_PROJECT, SEES_MOVES, SEES_IMAGE)
"""What a volume in full is shown by, part by part."""
SEES_PROGRESS = Rule("volume_extension:extended_snapshot_attributes", READER)
