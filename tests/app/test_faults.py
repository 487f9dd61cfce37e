"""Faults on purpose: where they strike, and what is refused."""

import dataclasses

import pytest

from pumice.app.faults import fault_point
from pumice.model.errors import Misconfigured, PumiceError
from pumice.model.scope import INTERNAL
from pumice.operations.operation import Operation, enqueue
from pumice.store.open import open_database
from pumice.store.tables import metadata
from pumice.volumes.delete import DELETE, DeleteParams


@pytest.fixture
async def op(tmp_path: object) -> Operation[DeleteParams]:
    db = open_database(f"sqlite:///{tmp_path}/pumice.db")
    try:
        await db.write(lambda tx: metadata.create_all(tx.connection))
        params = DeleteParams("volume", "here@files#pool")
        return await db.write(lambda tx: enqueue(tx, DELETE, params, subject="volume", who=INTERNAL))
    finally:
        await db.close()


async def test_a_step_fails_where_it_was_told_to_and_nowhere_else(op: Operation[DeleteParams]) -> None:
    strike = fault_point("volume.delete/do/forget/after=fail,volume.delete/do/delete_bytes/before=fail")
    for step, when in (("forget", "after"), ("delete_bytes", "before")):
        with pytest.raises(PumiceError, match="on purpose"):
            strike(when, "do", step, op)
    strike("before", "do", "forget", op)
    strike("after", "undo", "forget", op)
    strike("after", "do", "forget", dataclasses.replace(op, kind="volume.create"))


@pytest.mark.parametrize(
    "named", ["volume.delete", "volume.delete/do/forget", "a/do/b/after=maim", "a/do/b/after,"]
)
def test_a_fault_that_names_no_point_is_refused(named: str) -> None:
    with pytest.raises(Misconfigured, match="is not of the form"):
        fault_point(named)
