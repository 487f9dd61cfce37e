"""What Glance's policy files name besides its rules: a file that was written for Glance may refer to it."""

from types import MappingProxyType

from pumice.api.policy import ADMIN, SERVICE, Words

WORDS = Words(
    rules=MappingProxyType({"context_is_admin": ADMIN, "service_api": SERVICE}),
    standing=MappingProxyType({ADMIN: "context_is_admin"}),
)
"""Glance's. Its rule ``default`` is every service's, and left to the file."""
