"""The ``clouds.yaml`` that lets OpenStack's clients in (openstacksdk, "Configuring OpenStack SDK")."""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from pumice.model.ids import new_id

REGION = "RegionOne"


def clouds_yaml(auth_url: str, passwords: Mapping[str, str]) -> str:
    """The text for the clouds ``pumice``, ``pumice-demo`` and ``pumice-system``.

    ``passwords`` has those of the users ``admin`` and ``demo``.
    """
    clouds = {
        "pumice": _cloud(auth_url, "admin", passwords["admin"], {"project_name": "admin"}),
        "pumice-demo": _cloud(auth_url, "demo", passwords["demo"], {"project_name": "demo"}),
        "pumice-system": _cloud(auth_url, "admin", passwords["admin"], {"system_scope": "all"}),
    }
    return yaml.safe_dump({"clouds": clouds}, sort_keys=False)


def _cloud(auth_url: str, user: str, password: str, scope: Mapping[str, str]) -> dict[str, object]:
    in_domain = {"project_domain_id": "default"} if "project_name" in scope else {}
    return {
        "auth": {
            "auth_url": auth_url,
            "username": user,
            "password": password,
            "user_domain_id": "default",
            **scope,
            **in_domain,
        },
        "region_name": REGION,
        "interface": "public",
        "identity_api_version": 3,
        "volume_api_version": "3",
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
