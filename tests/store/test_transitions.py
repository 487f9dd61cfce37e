"""One table of moves for each kind of thing: complete, and nothing moves beside it."""

from typing import Any

import pytest
from sqlalchemy.dialects import sqlite

from pumice.model import states
from pumice.model.states import (
    AttachStatus,
    BackupStatus,
    GroupSnapshotStatus,
    GroupStatus,
    ImageBaseStatus,
    ImageStatus,
    ServerStatus,
    SnapshotStatus,
    Transitions,
    VolumeStatus,
)
from pumice.store import attachments, images, servers, snapshots, tables, transitional, volumes
from pumice.store.ownership import AtRest
from pumice.store.recycle_bin import GOES

TABLES: list[tuple[Transitions[Any], Any]] = [
    (states.VOLUME, VolumeStatus),
    (states.SNAPSHOT, SnapshotStatus),
    (states.BACKUP, BackupStatus),
    (states.GROUP, GroupStatus),
    (states.GROUP_SNAPSHOT, GroupSnapshotStatus),
    (states.IMAGE_BASE, ImageBaseStatus),
    (states.ATTACHMENT, AttachStatus),
    (states.SERVER, ServerStatus),
    (states.IMAGE, ImageStatus),
]


@pytest.mark.parametrize(("table", "words"), TABLES, ids=lambda it: getattr(it, "__name__", ""))
def test_every_state_is_in_one_group_and_every_move_leads_to_a_state(
    table: Transitions[Any], words: Any
) -> None:
    groups = (table.at_rest, table.at_work, table.in_between)
    assert sorted(word for group in groups for word in group) == sorted(words)
    assert {end for group in groups for ends in group.values() for end in ends} <= set(words)
    assert table.transitional == {*table.at_work, *table.in_between}


@pytest.mark.parametrize(("table", "words"), TABLES, ids=lambda it: getattr(it, "__name__", ""))
def test_what_is_at_work_comes_to_rest(table: Transitions[Any], words: Any) -> None:
    """But for what is an administrator's word alone, or ends with the thing."""
    administrators = {VolumeStatus.RETYPING, SnapshotStatus.UNMANAGING}
    for state in table.transitional - administrators:
        reached, more = {state}, {state}
        while more := {end for start in more for end in words if table.may_move(start, end)} - reached:
            reached |= more
        assert reached & table.at_rest.keys(), state


def test_whatever_lasts_and_has_not_failed_has_its_bytes() -> None:
    for table in (states.VOLUME, states.SNAPSHOT):
        assert table.with_bytes >= {state for state in table.at_rest if not state.startswith("error")}
    assert not states.VOLUME.with_bytes & {
        VolumeStatus.ERROR,
        VolumeStatus.ERROR_DELETING,
        VolumeStatus.RETYPING,
    }


def test_what_is_in_the_bin_goes_unless_it_is_going() -> None:
    assert {"recycled", "error", "error_deleting"} <= {*GOES}
    assert not {"available", "deleting"} & {*GOES}


def test_what_an_outside_caller_may_leave_is_what_is_looked_for() -> None:
    assert transitional._HELD_BY.keys() == states.VOLUME.in_between.keys()


@pytest.mark.parametrize(
    "move",
    [
        lambda: volumes.move(None, "", {VolumeStatus.ERROR}, VolumeStatus.AVAILABLE, must=""),  # type: ignore[arg-type]
        lambda: volumes.reset(None, "", VolumeStatus.MAINTENANCE, ""),  # type: ignore[arg-type]
        lambda: snapshots.move(None, "", {SnapshotStatus.ERROR}, SnapshotStatus.AVAILABLE, must=""),  # type: ignore[arg-type]
        lambda: attachments.move(None, "", {AttachStatus.ATTACHED}, AttachStatus.RESERVED),  # type: ignore[arg-type]
        lambda: images._try_to_move(None, "", {ImageStatus.KILLED}, ImageStatus.ACTIVE),  # type: ignore[arg-type]
        lambda: servers.follow(None, AtRest("", ServerStatus.ERROR, None), ServerStatus.PAUSED),  # type: ignore[arg-type]
        lambda: servers.begin(None, None, {ServerStatus.BUILD}, "", "", "", ServerStatus.REBOOT),  # type: ignore[arg-type]
    ],
)
def test_a_move_that_is_in_no_table_is_not_written(move: Any) -> None:
    with pytest.raises(AssertionError, match=r"no move|by itself"):
        move()


def test_a_status_is_read_as_its_word_and_a_word_that_nobody_knows_as_it_is() -> None:
    read = tables.volumes.c.status.type.result_processor(sqlite.dialect(), None)
    assert type(read("in-use")) is VolumeStatus and read("in-use") is VolumeStatus.IN_USE
    assert (read("levitating"), read(None)) == ("levitating", None)
