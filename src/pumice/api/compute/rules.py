"""What Nova's policy files name besides its rules: a file that was written for Nova may refer to it."""

from types import MappingProxyType

from pumice.api.policy import ADMIN, IS_ADMIN, MEMBER, READER, SERVICE, Words

_OF_PROJECT = "role:{} and project_id:%(project_id)s"
WORDS = Words(
    rules=MappingProxyType(
        {
            "context_is_admin": ADMIN,
            "admin_or_owner": "is_admin:True or project_id:%(project_id)s",
            "admin_api": IS_ADMIN,
            "service_api": "role:service",
            "service_or_admin": SERVICE,
            "project_manager_api": _OF_PROJECT.format("manager"),
            "project_member_api": _OF_PROJECT.format("member"),
            "project_reader_api": _OF_PROJECT.format("reader"),
            "project_manager_or_admin": "rule:project_manager_api or rule:context_is_admin",
            "project_member_or_admin": "rule:project_member_api or rule:context_is_admin",
            "project_reader_or_admin": "rule:project_reader_api or rule:context_is_admin",
        }
    ),
    standing=MappingProxyType(
        {
            ADMIN: "context_is_admin",
            MEMBER: "project_member_or_admin",
            READER: "project_reader_or_admin",
            SERVICE: "service_or_admin",
        }
    ),
)
"""Nova's."""
