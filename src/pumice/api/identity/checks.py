"""The checks of Identity's rules: Keystone's defaults by scope.

A path's ``{user_id}`` and ``{project_id}`` are what ``%(user_id)s`` and ``%(project_id)s`` stand for; where a
path names none, they are the caller's own. ``%(domain_id)s`` is the domain of all that the path or the body
names. An admin of the system or of a project of the default domain rules the cloud; any other admin, like a
domain's manager and reader, is one inside a domain.
"""

ADMIN = "role:admin and (system_scope:all or (project_domain_id:default and not project_id:None))"
ADMIN_INSIDE = f"({ADMIN}) or (role:admin and (domain_id:%(domain_id)s or project_domain_id:%(domain_id)s))"
READER = f"({ADMIN}) or (role:reader and system_scope:all)"
SELF = "user_id:%(user_id)s"
ADMIN_OR_SELF = f"({ADMIN}) or user_id:%(user_id)s"
READER_OR_SELF = f"{READER} or user_id:%(user_id)s"
READER_SELF_OR_SERVICE = f"{READER} or user_id:%(user_id)s or role:service"
READER_INSIDE = f"{READER} or ({ADMIN_INSIDE}) or (role:reader and domain_id:%(domain_id)s)"
READER_INSIDE_OR_SELF = f"{READER_INSIDE} or user_id:%(user_id)s"
READER_INSIDE_OR_PROJECT = f"{READER_INSIDE} or project_id:%(project_id)s"
MANAGER_INSIDE = f"({ADMIN_INSIDE}) or (role:manager and domain_id:%(domain_id)s)"
ROLE_READER = f"{READER} or role:admin or (role:manager and not domain_id:None)"
IN_DOMAIN = f"{READER} or domain_id:%(domain_id)s or project_domain_id:%(domain_id)s"
