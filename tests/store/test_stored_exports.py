"""Where a volume is reached and by whom, as it is stored: the version before reads that as well."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests import version_before
from tests.databases import new_sqlite

from pumice.model import export
from pumice.model.connector import Connector
from pumice.model.export import Export, IscsiExport, LocalDevice, NvmeExport, RbdImage, SharedFile
from pumice.store.columns import CONNECTOR, EXPORT, NO_CONNECTOR, is_unread
from pumice.store.database import Transaction
from pumice.store.sqlite import SqliteDatabase

HOST = Connector("host", "192.0.2.9", "iqn.1993-08.org.debian:host", "nqn.2014-08.org:host", multipath=True)
EXPORTS: list[Export] = [
    IscsiExport("iqn.2010-10.org.openstack:volume-1", ("192.0.2.1:3260",), 1),
    IscsiExport("iqn.2010-10.org.openstack:volume-1", ("192.0.2.1:3260", "192.0.2.2:3260"), 1, encrypted=True),
    NvmeExport("nqn.2010-10.org.openstack:volume-1", ("[2001:db8::1]:4420",), 1, "u-u-i-d"),
    NvmeExport("nqn.2010-10.org.openstack:volume-1", ("192.0.2.1:4420", "192.0.2.2:4420"), 1, "u-u-i-d"),
    LocalDevice("/srv/volumes/1", encrypted=True),
    LocalDevice("/dev/vg/volume-1", is_block=True),
    RbdImage("volumes", "volume-1", ("192.0.2.1:6789", "[2001:db8::1]:6789"), "pumice", "/etc/ceph/k", "ceph"),
    RbdImage("volumes", "volume-1", (), "pumice", "/etc/ceph/k", "far", "u-u-i-d", encrypted=True),
    SharedFile("/srv/shared/volumes/1", 7),
    SharedFile("/srv/shared/volumes/1", 7, "nfs:/vols", "volumes/1", "-o vers=4.2", "/mnt", encrypted=True),
]
TELL = """
import json, sys
from types import SimpleNamespace
from pumice.api.volume.connection_info import data
from pumice.model.connector import Connector
from pumice.model.export import of_row
from pumice.volumes.as_disk import _source
links = [
    SimpleNamespace(
        portal=of_row(one), connector=Connector.of_row(two), chap_username="u", chap_password="p",
        volume_id="v", mode="rw",
    )
    for one, two in json.loads(%r)
]
print(json.dumps([[repr(_source(it, it.portal, it.connector)), data(it, None)] for it in links]))
"""


@pytest.mark.parametrize("kind", EXPORTS, ids=lambda it: type(it).__name__)
def test_what_was_stored_is_read_as_it_was(kind: Export) -> None:
    assert export.of_row(json.loads(json.dumps(kind.to_row()))) == kind


@pytest.mark.skipif(bool(version_before.why_not()), reason=version_before.why_not())
def test_the_version_before_reads_every_export_over_the_network() -> None:
    over_network = [it for it in EXPORTS if isinstance(it, IscsiExport | NvmeExport)]
    rows = json.dumps([[it.to_row(), HOST.to_row()] for it in over_network])
    for it, (source, told) in zip(over_network, json.loads(version_before.run(TELL % rows)), strict=True):
        assert it.name in source and told["encrypted"] is it.encrypted
        if isinstance(it, IscsiExport):
            assert told["target_portal"] == it.portals[0] and told["target_lun"] == it.lun
            assert told.get("target_portals", [it.portals[0]]) == list(it.portals)
        else:
            assert told["vol_uuid"] == it.uuid and len(told["portals"]) == len(it.portals)


@pytest.mark.skipif(bool(version_before.why_not()), reason=version_before.why_not())
def test_the_version_before_reads_every_export_that_is_a_path() -> None:
    files = [it for it in EXPORTS if isinstance(it, LocalDevice | SharedFile)]
    rows = json.dumps([[it.to_row(), HOST.to_row()] for it in files])
    for it, (source, told) in zip(files, json.loads(version_before.run(TELL % rows)), strict=True):
        assert it.name in source and told["encrypted"] is it.encrypted
        if isinstance(it, SharedFile) and it.share:
            assert (told["export"], told["name"]) == (it.share, it.within)
        else:
            assert told["device_path"] == it.name


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    new_sqlite(tmp_path / "pumice.db")
    db = SqliteDatabase(tmp_path / "pumice.db")
    yield db
    await db.close()


@pytest.mark.parametrize(
    "torn", ["{", "[]", '"x"', '{"lun": 1}', '{"shared": {"inode": 1}}', '{"iqn": 5, "portal": null}']
)
async def test_a_torn_one_is_known_as_such_and_costs_nobody_anything(db: SqliteDatabase, torn: str) -> None:
    def work(tx: Transaction) -> Any:
        row = sa.text("SELECT :torn AS portal, :torn AS connector").columns(portal=EXPORT, connector=CONNECTOR)
        return tx.execute(row, {"torn": torn}).one()

    portal, connector = await db.read(work)
    assert is_unread(portal) and portal.portals == ("",) and portal.name == ""
    assert connector == NO_CONNECTOR and is_unread(connector) is not torn.startswith('{"')
