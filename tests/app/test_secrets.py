"""docs/operating/secrets.md: what is changed as the page says opens nothing any more."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.target_rigs import opens
from tests.pumice_installation import ATTACHMENTS, VOLUMES, Installation, state_directory

from pumice.store.tables import metadata

PAGE = Path(__file__).parents[2] / "docs" / "operating" / "secrets.md"
INITIATOR = "iqn.1993-08.org.debian:host-a"


def attach(pumice: Installation, volume: str) -> tuple[str, dict[str, Any]]:
    """A new attachment's id, and how it is reached."""
    connector = {"initiator": INITIATOR, "host": "elsewhere", "ip": "127.0.0.1", "platform": "x86_64"}
    body = {"attachment": {"volume_uuid": volume, "connector": connector}}
    made = pumice.call("POST", ATTACHMENTS, body)["attachment"]
    return made["id"], made["connection_info"]


@pytest.mark.real
def test_what_was_attached_anew_or_rotated_has_another_password_and_the_old_one_opens_nothing() -> None:
    with state_directory() as state:
        pumice = Installation(state, PUMICE_COMPUTE__DRIVER="none")
        try:
            pumice.launch("serve")
            pumice.log_in()
            pumice.http.headers["OpenStack-API-Version"] = "volume 3.27"
            pumice.wait(lambda: "cinder-volume" in pumice.services_up(), "its backend does not come up")
            volume = pumice.call("POST", VOLUMES, {"volume": {"size": 1}})["volume"]["id"]
            pumice.settle()
            first, old = attach(pumice, volume)
            assert opens(old, INITIATOR)
            pumice.call("DELETE", f"{ATTACHMENTS}/{first}")
            pumice.settle()
            second, new = attach(pumice, volume)
            assert opens(new, INITIATOR)
            assert {old["auth_username"], old["auth_password"]}.isdisjoint(new.values())
            assert not opens(
                {**new, **{word: old[word] for word in ("auth_username", "auth_password")}}, INITIATOR
            )
            assert "Rotated: 1" in pumice.command("secrets", "rotate", volume[:12]).stdout
            last = pumice.call("GET", f"{ATTACHMENTS}/{second}")["attachment"]["connection_info"]
            assert last == {**new, "auth_password": last["auth_password"]} != new
            assert opens(last, INITIATOR)
            assert not opens(new, INITIATOR)
        finally:
            pumice.close()
            pumice.end_daemons()


ON_THE_PAGE = {
    "users.password_hash": "a user's password",
    "application_credentials.secret_hash": "an application credential's",
    "tokens.digest": "a token",
    "transfers.digest": "a transfer's key",
    "volume_keys.passphrase": "the passphrase of an encrypted volume",
    "attachments.chap_password": "CHAP of an export",
    "attachments.next_chap_password": "CHAP of an export",
    "webhooks.secret": "a [webhook](../webhooks.md)'s",
    "move_accounts.password": "CHAP of a move between hosts",
}


def test_the_page_has_every_secret_that_a_table_holds() -> None:
    columns = {str(column) for table in metadata.tables.values() for column in table.columns}
    secret = {it for it in columns if re.search("password$|secret|passphrase|digest|password_hash", it)}
    assert secret == set(ON_THE_PAGE), "a secret that docs/operating/secrets.md does not tell how to change"
    page = PAGE.read_text()
    for words in ON_THE_PAGE.values():
        assert f"| {words} |" in page
