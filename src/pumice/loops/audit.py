"""The invariants: what must be true whenever nothing is under way, looked up in the rows and outside.

Every breach is one sentence. None is mended here; the other loops do that.
"""

from pumice.model.errors import PumiceError
from pumice.operations.hands import Hands
from pumice.store import audit


async def breaches(hands: Hands) -> list[str]:
    """Every invariant that does not hold at this moment, for the drivers of this process."""
    found = await hands.db.read(audit.wrong_rows)
    expected = await hands.db.read(audit.expected)
    for place, backend in hands.backends.items():
        try:
            there = await backend.inventory()
        except PumiceError as error:
            found.append(f"backend {place} does not answer: {error}")
            continue
        must = {volume for host, volume in expected.volumes if host == place}
        may = {volume for host, volume in expected.any_volumes if host == place}
        found += [f"volume {volume} has no bytes on {place}" for volume in sorted(must - there.volumes)]
        found += [f"bytes on {place} belong to no volume: {volume}" for volume in sorted(there.volumes - may)]
        must = {snapshot for host, snapshot in expected.snapshots if host == place}
        may = {snapshot for host, snapshot in expected.any_snapshots if host == place}
        found += [f"snapshot {snapshot} has no bytes on {place}" for snapshot in sorted(must - there.snapshots)]
        found += [f"bytes on {place} belong to no snapshot: {name}" for name in sorted(there.snapshots - may)]
        found += [f"unfinished bytes on {place}: {name}" for name in sorted(there.leftovers)]
    for target in set(hands.targets.values()):
        try:
            exports = await target.exports()
        except PumiceError as error:
            found.append(f"target {target.driver} does not answer: {error}")
            continue
        for volume, usernames in exports.items():
            found += [
                f"export of volume {volume} to {username or 'nobody'} belongs to no attachment"
                for username in sorted(usernames) or [""]
                if (volume, username) not in expected.accounts
            ]
    for host, hypervisor in hands.hypervisors.items():
        try:
            machines = await hypervisor.machines()
            connections = await hypervisor.connections()
        except PumiceError as error:
            found.append(f"hypervisor {host} does not answer: {error}")
            continue
        mine = {server for where, server in expected.machines if where == host}
        found += [
            f"machine {server} on {host} belongs to no server"
            for server in sorted(machines)
            if server not in mine
        ]
        found += [
            f"connection {attachment} on {host} belongs to no attachment"
            for attachment in sorted(connections - expected.attachments)
        ]
    return found
