"""Keys of Ceph's users, read from keyrings."""

from pathlib import Path

import pytest

from pumice.host.ceph_keyring import key_of
from pumice.model.errors import Misconfigured


@pytest.mark.parametrize(
    ("keyring", "told"),
    [
        ("", r"has no key of client\.pumice"),
        ("[client.other]\n\tkey = c2VjcmV0\n", r"has no key of client\.pumice"),
        ("[client.pumice]\n\tkey = c2VjcmV\n", r"of client\.pumice is no key of Ceph"),
        ("key = c2VjcmV0\n", "is no keyring of Ceph"),
    ],
)
def test_a_keyring_without_the_key_is_told_without_what_is_in_it(
    tmp_path: Path, keyring: str, told: str
) -> None:
    file = tmp_path / "keyring"
    file.write_text(keyring)
    with pytest.raises(Misconfigured, match=told) as refused:
        key_of("pumice", file)
    assert "c2Vj" not in str(refused.value)


def test_a_key_is_found_among_others_and_beside_caps(tmp_path: Path) -> None:
    file = tmp_path / "keyring"
    file.write_text('[client.a]\n\tkey = YQ==\n[client.pumice]\n\tkey = c2VjcmV0\n\tcaps mon = "profile rbd"\n')
    assert key_of("pumice", file) == "c2VjcmV0"
