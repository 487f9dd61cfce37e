"""Who may do what: oslo.policy, with every rule's default written on the routes it guards.

Operators' own policy files replace single rules, in the language they know. A decision depends only on the
rule, the caller and the target's owner, so decisions are remembered: asking again costs a dictionary look-up.
"""

import functools
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import _checks, policy

from pumice.identity.roles import with_implied
from pumice.model.errors import Forbidden, Misconfigured
from pumice.model.scope import Scope

ADMIN = "role:admin"
MEMBER = "role:admin or (role:member and project_id:%(project_id)s)"
READER = "role:admin or (role:reader and project_id:%(project_id)s)"
SERVICE = "role:admin or role:service"
OWN = "role:admin or user_id:%(user_id)s"
ANYBODY = "@"
IS_ADMIN = "is_admin:True or (role:admin and is_admin_project:True)"
"""Who is an administrator because ``context_is_admin`` says so, or as by default."""
WHO_IS_ADMIN = "context_is_admin"

MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What guards a route: the name that operators' policy files know, and the check where they say nothing."""

    name: str
    check: str


@dataclass(frozen=True, slots=True)
class Words:
    """What the policy files of an OpenStack service name besides its rules."""

    rules: Mapping[str, str] = field(default_factory=dict)
    """Rules that others are made of, by name: a file may refer to them, and may change them."""
    standing: Mapping[str, str] = field(default_factory=dict)
    """By a default check the rule that it is: who changes that rule changes everything with this default."""
    former: Mapping[str, str] = field(default_factory=dict)
    """By a rule's name an older one, which counts where a file does not name the newer."""

    def of(self, check: str) -> str:
        """A default check as a file has it."""
        name = self.standing.get(check)
        return f"rule:{name}" if name else check


@functools.cache
def _parsed(check: str) -> Any:
    """A check as oslo.policy has it, which takes a while to read one, and there are few that differ.

    For the first that it reads it looks for plug-ins, whose ``http:`` imports ``requests``: a tenth of the
    start and of the memory. No default needs any, so it finds none; what a file says is read with them.
    """
    found, _checks.extension_checks = _checks.extension_checks, {}
    try:
        return policy.RuleDefault("", check).check
    finally:
        _checks.extension_checks = found


def _credentials(who: Scope) -> dict[str, Any]:
    """What rules ask of a caller."""
    return {
        "roles": sorted(with_implied(who.roles)),
        "user_id": who.user_id,
        "project_id": who.project_id,
        "domain_id": who.domain_id,
        "project_domain_id": who.project_domain_id,
        "system_scope": "all" if who.system else None,
        "service_roles": sorted(who.service_roles),
        "is_admin": who.is_admin,
        "is_admin_project": True,  # as every token of a Keystone that has named none
    }


class Policy:
    """The rules of one service. Raises ``Misconfigured`` for a file that cannot be used."""

    def __init__(
        self, defaults: Mapping[str, str], policy_file: Path | None = None, words: Words | None = None
    ) -> None:
        self.defaults, self.words = defaults, words or Words()
        conf = cfg.ConfigOpts()
        conf([], project="pumice", default_config_files=[], default_config_dirs=[])
        self._enforcer = policy.Enforcer(
            conf, policy_file=str(policy_file or ""), use_conf=policy_file is not None
        )
        self._enforcer.suppress_deprecation_warnings = True
        if policy_file is not None:
            for name, check in self.words.rules.items():
                self._enforcer.register_default(policy.RuleDefault(name, check))
            for name, check in defaults.items():
                self._enforcer.register_default(self._default(name, check))
            self._load(policy_file)
        else:  # without a file nothing is loaded, not even the defaults
            checks = {name: _parsed(check) for name, check in defaults.items()}
            self._enforcer.set_rules(policy.Rules(checks), use_conf=False)
        names_admins = policy_file is not None and WHO_IS_ADMIN in self._enforcer.file_rules
        self._names_admins = names_admins and WHO_IS_ADMIN in self.words.rules
        self._narrowed: dict[tuple[Rule, ...], Policy] = {}
        self._remembered: dict[tuple[str, Scope, str | None, str | None, str | None], bool] = {}

    def reread(self, policy_file: Path | None) -> "Policy":
        """These rules with what a file says now. Raises ``Misconfigured`` for one that cannot be used."""
        return Policy(self.defaults, policy_file, self.words)

    def _default(self, name: str, check: str) -> policy.RuleDefault:
        """A rule as long as the file does not name it."""
        check = self.words.of(check)
        former = self.words.former.get(name)
        if former is None:
            return policy.RuleDefault(name, check)
        older = policy.DeprecatedRule(
            former, check, deprecated_reason=f"It is {name} now.", deprecated_since="Cinder 19"
        )
        return policy.RuleDefault(name, check, deprecated_rule=older)

    def _load(self, file: Path) -> None:
        try:
            file.read_bytes()
            self._enforcer.load_rules()
        except OSError as error:
            raise Misconfigured(f"The policy file {file} cannot be read: {error.strerror}.") from error
        except Exception as error:  # oslo.policy's, or whatever its parser stumbles over
            reason = " ".join(str(error).split())
            raise Misconfigured(f"The policy file {file} is not a mapping of rules: {reason}.") from error

    def only(self, rules: tuple[Rule, ...]) -> "Policy":
        """This policy, restricted to the rules that a route declares; its handler can ask no others."""
        if (narrowed := self._narrowed.get(rules)) is None:
            narrowed = self._narrowed[rules] = copy(self)
            narrowed.defaults = {rule.name: rule.check for rule in rules}
        return narrowed

    def names_admin(self, who: Scope) -> bool | None:
        """Whether the file makes ``who`` an administrator; None where it says nothing of that."""
        if not self._names_admins:
            return None
        told = _credentials(who)
        return bool(self._enforcer.enforce(WHO_IS_ADMIN, told, told))

    def allows(
        self,
        rule: Rule,
        who: Scope,
        project_id: str | None = None,
        user_id: str | None = None,
        domain_id: str | None = None,
    ) -> bool:
        """Whether ``who`` may do what ``rule`` guards to something of a project or user (by default own).

        Something of no known domain matches no rule that speaks of domains. A rule that is not among the
        ``defaults`` is a ``KeyError``: no policy file can name it, or its route does not declare it.
        """
        self.defaults[rule.name]
        key = rule.name, who, project_id, user_id, domain_id
        if (known := self._remembered.get(key)) is not None:
            return known
        owner = who.project_id if project_id is None else project_id
        credentials = _credentials(who)
        target = {"user_id": user_id or who.user_id}
        if owner is not None:  # else no project matches, not even that of a token without one
            target |= {"project_id": owner, "tenant_id": owner}
        if domain_id is not None:
            target["domain_id"] = domain_id
        allowed = bool(self._enforcer.enforce(rule.name, target, credentials))
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = allowed
        return allowed

    def require(
        self,
        rule: Rule,
        who: Scope,
        project_id: str | None = None,
        user_id: str | None = None,
        domain_id: str | None = None,
    ) -> None:
        """Raises ``Forbidden`` unless ``allows``."""
        if not self.allows(rule, who, project_id, user_id, domain_id):
            raise Forbidden(f"Policy doesn't allow {rule.name} to be performed.")
