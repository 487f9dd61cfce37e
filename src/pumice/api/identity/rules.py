"""What Keystone's policy files name besides its rules: a file that was written for Keystone may refer to it."""

from types import MappingProxyType

from pumice.api.policy import Words

WORDS = Words(
    rules=MappingProxyType(
        {
            "admin_required": "role:admin or is_admin:1",
            "service_role": "role:service",
            "service_or_admin": "rule:admin_required or rule:service_role",
            "owner": "user_id:%(user_id)s",
            "admin_or_owner": "rule:admin_required or rule:owner",
            "token_subject": "user_id:%(target.token.user_id)s",
            "admin_or_token_subject": "rule:admin_required or rule:token_subject",
            "service_admin_or_token_subject": "rule:service_or_admin or rule:token_subject",
        }
    ),
)
"""Keystone's."""
