"""Who may do what: oslo.policy, with every rule's default written beside the routes it guards.

Operators' own policy files replace single rules, in the language they know. A decision depends only on the
rule, the caller and the target's owner, so decisions are remembered: asking again costs a dictionary look-up.
"""

from collections.abc import Mapping
from pathlib import Path

from oslo_config import cfg
from oslo_policy import policy

from pumice.model.errors import Forbidden
from pumice.model.scope import Scope

ADMIN = "role:admin"
MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
READER = "role:admin or (role:reader and project_id:%(project_id)s)"
SERVICE = "role:admin or role:service"
ANYBODY = "@"

MOST_REMEMBERED = 10_000

_IMPLIED = {"admin": {"manager", "member", "reader"}, "manager": {"member", "reader"}, "member": {"reader"}}


class Policy:
    """The rules of one service."""

    def __init__(self, defaults: Mapping[str, str], policy_file: Path | None = None) -> None:
        conf = cfg.ConfigOpts()
        conf([], project="pumice", default_config_files=[], default_config_dirs=[])
        self._enforcer = policy.Enforcer(
            conf, policy_file=str(policy_file or ""), use_conf=policy_file is not None
        )
        self._enforcer.suppress_deprecation_warnings = True
        for name, check in defaults.items():
            self._enforcer.register_default(policy.RuleDefault(name, check))
        self._enforcer.load_rules()
        self._remembered: dict[tuple[str, Scope, str | None], bool] = {}

    def allows(self, rule: str, who: Scope, project_id: str | None = None) -> bool:
        """Whether ``who`` may do what ``rule`` guards to something of ``project_id`` (the caller's own)."""
        key = rule, who, project_id
        if (known := self._remembered.get(key)) is not None:
            return known
        roles = set(who.roles) | {implied for role in who.roles for implied in _IMPLIED.get(role, ())}
        owner = who.project_id if project_id is None else project_id
        credentials = {
            "roles": sorted(roles),
            "user_id": who.user_id,
            "project_id": who.project_id,
            "domain_id": who.domain_id,
            "system_scope": "all" if who.system else None,
            "service_roles": sorted(who.service_roles),
            "is_admin": who.is_admin,
        }
        target = {"project_id": owner, "user_id": who.user_id, "tenant_id": owner}
        allowed = bool(self._enforcer.enforce(rule, target, credentials))
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = allowed
        return allowed

    def require(self, rule: str, who: Scope, project_id: str | None = None) -> None:
        """Raises ``Forbidden`` unless ``allows``."""
        if not self.allows(rule, who, project_id):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
