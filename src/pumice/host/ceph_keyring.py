"""Keys of Ceph's users, as a keyring has them: an INI file with a section for each. Synchronous."""

import base64
import configparser
from pathlib import Path

from pumice.model.errors import Misconfigured


def key_of(user: str, keyring: Path) -> str:
    """The key of ``client.USER``, in base64. Raises ``Misconfigured``; no message holds what is in the file."""
    read = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        read.read_string(keyring.read_text())
    except OSError as error:
        raise Misconfigured(
            f"{keyring}, the keyring of client.{user}, cannot be read: {error.strerror}."
        ) from None
    except (configparser.Error, UnicodeDecodeError):
        raise Misconfigured(f"{keyring} is no keyring of Ceph.") from None
    if not (key := read.get(f"client.{user}", "key", fallback="")):
        raise Misconfigured(f"{keyring} has no key of client.{user}.")
    try:
        base64.b64decode(key, validate=True)
    except ValueError:
        raise Misconfigured(f"What {keyring} has of client.{user} is no key of Ceph.") from None
    return key
