"""Every row, in the order in which they are told."""

from tests.failures import guests, other_processes, races, volume_process

ROWS = (
    *volume_process.ROWS[:3],
    *guests.ROWS,
    *volume_process.ROWS[3:],
    *other_processes.ROWS,
    *races.ROWS,
)
