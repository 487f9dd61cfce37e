"""``pumice doctor``: looks at every part Pumice can use, and says what to do about those that are missing.

The exit code is 0 as long as the volume API can serve; servers and exports are extras that it can do without.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import asdict
from functools import partial

from pumice.app import kernel_probes, logs, probes
from pumice.app.plain_words import in_plain_words
from pumice.app.roles import EVERY, Role
from pumice.app.settings import Settings
from pumice.app.terminal import console, plain, print_json, table
from pumice.app.units import enabled
from pumice.host import apart
from pumice.model.errors import PumiceError
from pumice.model.finding import Finding, Probe, Verdict

PATH_SECONDS = 5.0
"""How long what a path leads to may take to answer."""
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
        asyncio.to_thread(probes.state_directory, settings),
        asyncio.to_thread(probes.state_disk, settings),
        asyncio.to_thread(probes.hanging_calls, settings),
    ]
    if Role.SCHEDULER in roles and settings.notifications.transport_url:
        looks.append(asyncio.to_thread(probes.notifications, settings))
    if Role.VOLUME in roles:
        looks += _of_backends(settings)
    if roles & {Role.API, Role.VOLUME, Role.COMPUTE}:
        looks += _looks(list(settings.images.probes()))
    if roles & {Role.API, Role.VOLUME}:
        looks.append(probes.qemu_img())
    if Role.VOLUME in roles:
        looks += _of_targets(settings)
    if Role.COMPUTE in roles:
        looks += _of_servers(settings)
    return list(await asyncio.gather(*map(_found, looks)))


def _of_backends(settings: Settings) -> list[Awaitable[Finding]]:
    state_dir = settings.state_dir.absolute()
    found = [probe for name, it in settings.backends.items() for probe in it.probes(name, state_dir)]
    found += [_whose(settings, name) for name in settings.backends]
    return _looks([*found, *settings.backup.probes()])


def _whose(settings: Settings, name: str) -> Probe:
    look = partial(probes.whose_pools, settings, name)
    return Probe(f"marks of {name}", look, may_hang=f"the storage of {name}, or the database,")


def _of_targets(settings: Settings) -> list[Awaitable[Finding]]:
    kinds = dict.fromkeys(it.target for it in settings.backends.values())
    state_dir = settings.state_dir.absolute()
    return _looks([probe for kind in kinds for probe in settings.target(kind).probes(state_dir)])


def _looks(probes: Sequence[Probe]) -> list[Awaitable[Finding]]:
    """What the drivers' probes find. What may hang is looked at now, from processes of their own."""
    slow = [it for it in probes if it.may_hang]
    answers = apart.each([partial(_apart, it) for it in slow], PATH_SECONDS)
    told = [answer or _hangs(it) for it, answer in zip(slow, answers, strict=True)]
    return [*map(_now, dict.fromkeys(told)), *(_look(it) for it in probes if not it.may_hang)]


def _apart(probe: Probe) -> Finding:
    try:
        found = probe.look()
    except OSError as error:
        return Finding(probe.part, Verdict.MISSING, in_plain_words(error))
    assert isinstance(found, Finding), f"what may hang is no coroutine: {probe.part}"
    return found


def _hangs(probe: Probe) -> Finding:
    return Finding(
        probe.part, Verdict.MISSING, f"{probe.may_hang} hangs", "other pools", "see to that disk or mount"
    )


async def _look(probe: Probe) -> Finding:
    found = probe.look()
    return found if isinstance(found, Finding) else await found


def _of_servers(settings: Settings) -> list[Awaitable[Finding]]:
    looks: list[Awaitable[Finding]] = []
    if settings.compute.driver != "none" and settings.compute.connector == "kernel":
        looks.append(kernel_probes.connector(settings.compute.multipath))
    if settings.compute.driver == "libvirt":
        looks += [probes.qemu(), probes.accelerated(settings)]
        if any(settings.target(it.target).over_network for it in settings.backends.values()):
            looks.append(probes.qemu_iscsi())
        looks.append(asyncio.to_thread(probes.libvirt_binding))
        if settings.compute.libvirt_uri is None:
            looks.append(probes.private_libvirtd())
        looks.append(asyncio.to_thread(probes.tour_guest))
    return looks


async def _now(found: Finding) -> Finding:
    """A finding that is there already, in a form that can be awaited."""
    return found


async def _found(look: Awaitable[Finding]) -> Finding:
    """What a look found; where it could not even look, that is the finding."""
    try:
        return await look
    except (OSError, PumiceError) as error:
        return Finding("files", Verdict.MISSING, in_plain_words(error))
