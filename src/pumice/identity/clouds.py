"""The ``clouds.yaml`` that lets OpenStack's clients in (openstacksdk, "Configuring OpenStack SDK")."""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from pumice.identity.bootstrap import REGION
from pumice.model.ids import new_id


def clouds_yaml(auth_url: str, passwords: Mapping[str, str], cacert: Path | None = None) -> str:
    """The text for the clouds ``pumice``, ``pumice-demo`` and ``pumice-system``.

    ``passwords`` has those of the users ``admin`` and ``demo``, as far as they are known; ``cacert`` is whom to
    trust beyond the authorities that everybody knows.
    """
    admin, demo = passwords.get("admin"), passwords.get("demo")
    clouds: dict[str, dict[str, object]] = {
        "pumice": _cloud(auth_url, "admin", admin, {"project_name": "admin"}),
        "pumice-demo": _cloud(auth_url, "demo", demo, {"project_name": "demo"}),
        "pumice-system": _cloud(auth_url, "admin", admin, {"system_scope": "all"}),
    }
    if cacert is not None:
        for cloud in clouds.values():
            cloud["cacert"] = str(cacert.absolute())
    unknown = [user for user, password in (("admin", admin), ("demo", demo)) if password is None]
    heads = [
        f"# The password of '{user}' is not known here: another host set it, or it was changed since.\n"
        f"# Give it in OS_PASSWORD, or let 'pumice passwd {user}' set another.\n"
        for user in unknown
    ]
    return "".join(heads) + yaml.safe_dump({"clouds": clouds}, sort_keys=False)


def with_password(text: str, user: str, password: str) -> str:
    """A ``clouds.yaml`` with another password for a user."""
    read = yaml.safe_load(text)
    for cloud in read["clouds"].values():
        if cloud["auth"]["username"] == user:
            cloud["auth"]["password"] = password
    return yaml.safe_dump(read, sort_keys=False)


def _cloud(auth_url: str, user: str, password: str | None, scope: Mapping[str, str]) -> dict[str, object]:
    in_domain = {"project_domain_id": "default"} if "project_name" in scope else {}
    return {
        "auth": {
            "auth_url": auth_url,
            "username": user,
            **({"password": password} if password else {}),
            "user_domain_id": "default",
            **scope,
            **in_domain,
        },
        "region_name": REGION,
        "interface": "public",
        "identity_api_version": 3,
        "volume_api_version": "3",
        "block_storage_default_microversion": "3.71",
    }


def write_passwords(path: Path, text: str) -> None:
    """Write passwords where only their owner reads them; whoever looks sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{new_id()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
