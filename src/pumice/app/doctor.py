"""``pumice doctor``: looks at every part Pumice can use, and says what to do about those that are missing.

The exit code is 0 as long as the volume API can serve; servers and exports are extras that it can do without.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict

from pumice.app import kernel_probes, logs, probes
from pumice.app.plain_words import in_plain_words
from pumice.app.probes import Finding, Verdict
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table
from pumice.app.units import enabled
from pumice.model.errors import PumiceError

_COLOURS = {Verdict.OK: "green", Verdict.DEGRADED: "yellow", Verdict.MISSING: "red"}


def run(settings: Settings, roles: frozenset[Role] = frozenset(), *, as_json: bool) -> int:
    """Print what was found, for a host with these roles or else with those whose units are enabled here.

    Returns the exit code.
    """
    logs.set_up(settings.model_copy(update={"log_level": "warning"}))
    findings = asyncio.run(examine(settings, roles or enabled() or EVERY))
    serves = not any(one.fatal for one in findings)
    if as_json:
        print_json({"serves": serves, "parts": [asdict(one) for one in findings]})
    else:
        rows = table("part", "", "found")
        for one in findings:
            more = [f"works all the same: {one.without}"] if one.without else []
            more += [f"to do: {one.cure}"] if one.cure else []
            found = plain("\n".join((one.found, *more)))
            rows.add_row(plain(one.part), plain(one.verdict, _COLOURS[one.verdict]), found)
        out = console()
        out.print(rows)
        out.print(f"\n{_in_short(findings)}", style="bold")
    return 0 if serves else 1


def _in_short(findings: list[Finding]) -> str:
    if fatal := [one.part for one in findings if one.fatal]:
        return f"The volume API cannot serve: see {', '.join(fatal)}."
    if lacking := [one.part for one in findings if one.verdict is Verdict.MISSING]:
        return f"The volume API can serve. Not everything can be had: see {', '.join(lacking)}."
    return "Everything that these settings ask for is here."


async def examine(settings: Settings, roles: frozenset[Role] = EVERY) -> list[Finding]:
    """Look at every part that settings and roles ask for, all at once; in the order in which they matter."""
    looks: list[Awaitable[Finding]] = [
        asyncio.to_thread(probes.python),
        asyncio.to_thread(probes.settings_for, settings, roles),
        asyncio.to_thread(probes.database, settings),
        *([asyncio.to_thread(probes.api_port, settings)] if Role.API in roles else []),
        asyncio.to_thread(probes.state_disk, settings),
        asyncio.to_thread(probes.hanging_calls, settings),
    ]
    if Role.VOLUME in roles:
        looks += _of_backends(settings)
    if roles & {Role.API, Role.VOLUME}:
        looks.append(probes.qemu_img())
    if Role.VOLUME in roles:
        looks += _of_targets(settings)
    if Role.COMPUTE in roles:
        looks += _of_servers(settings)
    return list(await asyncio.gather(*map(_found, looks)))


def _of_backends(settings: Settings) -> list[Awaitable[Finding]]:
    looks: list[Awaitable[Finding]] = [_now(found) for found in probes.pools(settings)]
    backends = settings.backends.values()
    groups = {(it.volume_group, it.thin) for it in backends if it.driver == "lvm" and it.volume_group}
    return looks + [kernel_probes.volume_group(group, thin=thin) for group, thin in sorted(groups)]


def _of_targets(settings: Settings) -> list[Awaitable[Finding]]:
    looks: list[Awaitable[Finding]] = []
    backends = settings.backends.values()
    if any(it.target == "tgt" for it in backends):
        looks.append(asyncio.to_thread(probes.tgtd))
        if settings.tgt.manage:
            looks.append(asyncio.to_thread(probes.portal, settings))
    if any(it.target == "lio" for it in backends):
        looks.append(kernel_probes.lio())
    if any(it.target == "nvmet" for it in backends):
        looks.append(kernel_probes.nvmet())
    return looks


def _of_servers(settings: Settings) -> list[Awaitable[Finding]]:
    looks: list[Awaitable[Finding]] = []
    if settings.compute.driver != "none" and settings.compute.connector == "kernel":
        looks.append(kernel_probes.connector(settings.compute.multipath))
    if settings.compute.driver == "libvirt":
        looks += [probes.qemu(), probes.qemu_iscsi(), probes.accelerated(settings)]
        looks.append(asyncio.to_thread(probes.libvirt_binding))
        if settings.compute.libvirt_uri is None:
            looks.append(probes.private_libvirtd())
        looks.append(asyncio.to_thread(probes.tour_guest))
    return looks


async def _now(found: Finding) -> Finding:
    """What has been found already."""
    return found


async def _found(look: Awaitable[Finding]) -> Finding:
    """What a look found; where it could not even look, that is the finding."""
    try:
        return await look
    except (OSError, PumiceError) as error:
        return Finding("files", Verdict.MISSING, in_plain_words(error))
