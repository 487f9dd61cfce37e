"""Who may do what in Identity: Keystone's rule names, and its defaults by scope.

A path's ``{user_id}`` and ``{project_id}`` are what ``%(user_id)s`` and ``%(project_id)s`` stand for; where a
path names none, they are the caller's own. ``%(domain_id)s`` is the domain of all that the path or the body
names. An admin of the system or of a project of the default domain rules the cloud; any other admin, like a
domain's manager and reader, is one inside a domain.
"""

from collections.abc import Mapping

from pumice.api.policy import ANYBODY

ADMIN = "role:admin and (system_scope:all or (project_domain_id:default and not project_id:None))"
ADMIN_INSIDE = f"({ADMIN}) or (role:admin and (domain_id:%(domain_id)s or project_domain_id:%(domain_id)s))"
READER = f"({ADMIN}) or (role:reader and system_scope:all)"
READER_OR_SELF = f"{READER} or user_id:%(user_id)s"
READER_INSIDE = f"{READER} or ({ADMIN_INSIDE}) or (role:reader and domain_id:%(domain_id)s)"
READER_INSIDE_OR_SELF = f"{READER_INSIDE} or user_id:%(user_id)s"
READER_INSIDE_OR_PROJECT = f"{READER_INSIDE} or project_id:%(project_id)s"
MANAGER_INSIDE = f"({ADMIN_INSIDE}) or (role:manager and domain_id:%(domain_id)s)"
ROLE_READER = f"{READER} or role:admin or (role:manager and not domain_id:None)"
IN_DOMAIN = f"{READER} or domain_id:%(domain_id)s or project_domain_id:%(domain_id)s"


def _each(check: str, *names: str) -> dict[str, str]:
    return {f"identity:{name}": check for name in names}


POLICIES: Mapping[str, str] = {
    **_each(ANYBODY, "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system"),
    **_each(ANYBODY, "list_regions", "get_region"),
    **_each(f"{READER} or user_id:%(user_id)s or role:service", "validate_token"),
    **_each(f"({ADMIN}) or user_id:%(user_id)s", "revoke_token"),
    **_each(READER_INSIDE_OR_SELF, "get_user", "list_user_projects", "list_groups_for_user"),
    **_each(READER_INSIDE_OR_PROJECT, "get_project", "list_project_tags", "get_project_tag"),
    **_each(READER_INSIDE, "list_users", "list_projects", "list_domains", "list_groups"),
    **_each(READER_INSIDE, "list_role_assignments", "list_grants", "check_grant"),
    **_each(READER_INSIDE, "get_group", "list_users_in_group", "check_user_in_group"),
    **_each(IN_DOMAIN, "get_domain"),
    **_each(ROLE_READER, "list_roles", "get_role"),
    **_each(READER, "list_role_inference_rules"),
    **_each(READER, "list_system_grants_for_user", "check_system_grant_for_user"),
    **_each(READER, "list_system_grants_for_group", "check_system_grant_for_group"),
    **_each(READER_OR_SELF, "list_application_credentials", "get_application_credential"),
    **_each(READER_OR_SELF, "list_access_rules", "get_access_rule"),
    **_each("user_id:%(user_id)s", "create_application_credential"),
    **_each(f"({ADMIN}) or user_id:%(user_id)s", "delete_application_credential", "delete_access_rule"),
    **_each(READER, "list_services", "get_service", "list_endpoints", "get_endpoint"),
    **_each(MANAGER_INSIDE, "create_user", "update_user", "delete_user"),
    **_each(MANAGER_INSIDE, "create_group", "update_group", "delete_group"),
    **_each(MANAGER_INSIDE, "add_user_to_group", "remove_user_from_group"),
    **_each(MANAGER_INSIDE, "create_project", "update_project", "delete_project"),
    **_each(MANAGER_INSIDE, "update_project_tags", "create_project_tag", "delete_project_tag"),
    **_each(MANAGER_INSIDE, "delete_project_tags", "create_grant", "revoke_grant"),
    **_each(ADMIN, "create_domain", "update_domain", "delete_domain"),
    **_each(ADMIN, "create_role", "update_role", "delete_role"),
    **_each(ADMIN, "create_system_grant_for_user", "revoke_system_grant_for_user"),
    **_each(ADMIN, "create_system_grant_for_group", "revoke_system_grant_for_group"),
    **_each(ADMIN, "create_service", "update_service", "delete_service"),
    **_each(ADMIN, "create_endpoint", "update_endpoint", "delete_endpoint"),
    **_each(ADMIN, "create_region", "update_region", "delete_region"),
}
