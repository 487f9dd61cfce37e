"""Every call of a driver is a look, which has a minute outside of operations, or a change, which has longer."""

from inspect import getmembers, iscoroutinefunction

import pytest

from pumice.backends.backups.contract import BackupStore
from pumice.backends.contract import Backend
from pumice.backends.targets.contract import Target
from pumice.host.bulkhead import LOOKS
from pumice.hypervisor.contract import Hypervisor

CHANGES = {
    Backend: """
        adopt clone_image create create_from_image create_from_snapshot create_from_volume create_snapshot
        delete delete_snapshot discard extend flatten give_up occupy put_aside put_back revert set_mark start
    """,
    Target: "grant remove resize revoke start",
    Hypervisor: """
        attach define delete detach end_mirror forget_secret make_local_disk mirror pause reboot
        resize_disk resume start start_up stop switch
    """,
    BackupStore: "check delete free restore write",
}


@pytest.mark.parametrize("contract", CHANGES, ids=lambda contract: contract.__name__)
def test_a_call_that_hangs_is_given_up_after_a_minute_unless_it_changes_something(contract: type) -> None:
    calls = {name for name, _ in getmembers(contract, iscoroutinefunction) if not name.startswith("_")}
    changes = set(CHANGES[contract].split())
    assert calls - LOOKS == changes and not changes & LOOKS
