"""Who may do what in Identity: Keystone's rule names and its defaults for projects and the system.

A path's ``{user_id}`` and ``{project_id}`` are what ``%(user_id)s`` and ``%(project_id)s`` stand for; where a
path names none, they are the caller's own.
"""

from collections.abc import Mapping

from pumice.api.policy import ADMIN, ANYBODY

SYSTEM_READER = "role:admin or (role:reader and system_scope:all)"
READER_OR_SELF = f"{SYSTEM_READER} or user_id:%(user_id)s"
READER_OR_INSIDE = f"{SYSTEM_READER} or project_id:%(project_id)s"


def _each(check: str, *names: str) -> dict[str, str]:
    return {f"identity:{name}": check for name in names}


POLICIES: Mapping[str, str] = {
    **_each(ANYBODY, "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system"),
    **_each(ANYBODY, "list_regions", "get_region"),
    **_each(f"{READER_OR_SELF} or role:service", "validate_token"),
    **_each("role:admin or user_id:%(user_id)s", "revoke_token"),
    **_each(READER_OR_SELF, "get_user", "list_user_projects", "list_groups_for_user"),
    **_each(READER_OR_INSIDE, "get_project", "list_project_tags", "get_project_tag"),
    **_each(SYSTEM_READER, "list_users", "list_projects", "list_domains", "get_domain", "list_groups"),
    **_each(SYSTEM_READER, "list_roles", "get_role", "list_role_assignments", "list_role_inference_rules"),
    **_each(SYSTEM_READER, "list_grants", "check_grant"),
    **_each(SYSTEM_READER, "list_system_grants_for_user", "check_system_grant_for_user"),
    **_each(SYSTEM_READER, "list_services", "get_service", "list_endpoints", "get_endpoint"),
    **_each(ADMIN, "create_user", "update_user", "delete_user"),
    **_each(ADMIN, "create_project", "update_project", "delete_project"),
    **_each(ADMIN, "update_project_tags", "create_project_tag", "delete_project_tag", "delete_project_tags"),
    **_each(ADMIN, "create_domain", "update_domain", "delete_domain"),
    **_each(ADMIN, "create_role", "update_role", "delete_role"),
    **_each(ADMIN, "create_grant", "revoke_grant"),
    **_each(ADMIN, "create_system_grant_for_user", "revoke_system_grant_for_user"),
}
