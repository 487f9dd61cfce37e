"""The first users' passwords: chosen once for a state directory, by whichever process starts there first.

They are kept in ``passwords.yaml``. Processes that start at once take turns, so that all of them set and tell
the same; whoever is killed while writing leaves the file as it was.
"""

import fcntl
import secrets

import yaml

from pumice.app.settings import Settings
from pumice.identity.clouds import write_passwords

USERS = ("admin", "demo", "pumice")


def first_passwords(settings: Settings) -> dict[str, str]:
    """From the settings, else those kept since the first start, else new ones."""
    path = settings.state_dir / "passwords.yaml"
    given = {
        "admin": settings.identity.admin_password,
        "demo": settings.identity.demo_password,
        "pumice": settings.identity.service_password,
    }
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held for the time of a small write, before anything is served
        kept = yaml.safe_load(path.read_text()) if path.exists() else {}
        passwords = {user: given[user] or kept.get(user) or secrets.token_urlsafe(16) for user in USERS}
        if passwords != kept:
            write_passwords(path, yaml.safe_dump(passwords))
    return passwords
