"""The command ``pumice``: what can be asked for, with which words. What is done lies in a module of its own.

Each is imported when its command runs, so that ``pumice version`` and ``pumice --help`` answer at once.
"""

import functools
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import typer.main

from pumice.app import garbage

if TYPE_CHECKING:
    from pumice.app.settings import Settings


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


app = typer.Typer(
    help="Block storage for virtual machines that never gets stuck.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
operations = typer.Typer(help="Look into the operation log.", no_args_is_help=True)
db = typer.Typer(help="The database.", no_args_is_help=True)
service = typer.Typer(help="Pumice as a service of systemd.", no_args_is_help=True)
app.add_typer(operations, name="operations")
app.add_typer(db, name="db")
app.add_typer(service, name="service")
hosts = typer.Typer(invoke_without_command=True)
app.add_typer(hosts, name="hosts")
backends = typer.Typer(help="The backends of this host.", no_args_is_help=True)
app.add_typer(backends, name="backends")
unknown = typer.Typer(help="Bytes of this host of which nothing is known.", no_args_is_help=True)
app.add_typer(unknown, name="orphans")
explain = typer.Typer(help="Say what the scheduler would do.", no_args_is_help=True)
app.add_typer(explain, name="explain")
image_cache = typer.Typer(help="Bases of images, of which volumes are cloned.", no_args_is_help=True)
app.add_typer(image_cache, name="image-cache")
secrets = typer.Typer(help="Secrets of what stands.", no_args_is_help=True)
app.add_typer(secrets, name="secrets")

Id = Annotated[str, typer.Argument(metavar="ID", help="An operation's id, or its first characters.")]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
Form = Annotated[Format, typer.Option("--format", "-f", help="For a person or for a program.")]
HostName = Annotated[str, typer.Argument(metavar="NAME", help="A host's name, as 'pumice hosts' has it.")]


def main() -> None:
    """Run the command. What went wrong is told in one sentence, and the exit code is 1."""
    garbage.imports_begin()
    _open_standard_streams()
    if "" in sys.argv[1:]:  # every id, and the only one there is, begins with nothing
        sys.exit("pumice: One of the words is empty: perhaps a variable of the shell that is not set.")
    os.umask(0o077)  # the database holds secrets: whatever a command makes is its owner's alone
    try:
        command()(prog_name="pumice")
    except Exception as error:
        from pumice.app.plain_words import in_plain_words

        if "debug" in (*sys.argv, os.environ.get("PUMICE_LOG_LEVEL")):
            raise
        sys.exit(f"pumice: {in_plain_words(error)}")


@functools.cache
def command() -> Callable[..., object]:
    """The tree of all commands, which takes a while to build."""
    return typer.main.get_command(app)


def _open_standard_streams() -> None:
    """Open the null device in the place of a standard stream that the caller closed.

    Else the next file that is opened gets its number, and whatever is printed goes into a lock or a database.
    """
    for number, mode, name in ((0, "r", "stdin"), (1, "w", "stdout"), (2, "w", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (as long as the process)


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def flags(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="The settings file.", show_default="./ or /etc/pumice/ pumice.toml")
    ] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    host: Annotated[str | None, typer.Option(help="This host's name among the others.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Flags that stand before a command, over the environment, over the settings file."""
    if config is not None:
        if not config.is_file():
            raise typer.BadParameter(f"There is no file {config}.")
        os.environ["PUMICE_CONFIG"] = str(config)
    given = {"state_dir": state_dir, "host": host, "log_level": log_level}
    context.obj = {name: value for name, value in given.items() if value is not None}


@app.command()
def serve(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="So many processes for the API, and one for each other role; needs PostgreSQL."
        ),
    ] = None,
) -> None:
    """Serve everything from this process until Ctrl-C, or from several."""
    if workers is None:
        from pumice.app.serve import run

        run(_settings(context, port))
        return
    from pumice.app import workers as several
    from pumice.app.roles import EVERY

    several.run(_settings(context, port), workers, EVERY)


@app.command()
def api(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")] = None,
) -> None:
    """Answer requests, and do nothing else. Any number of these may run; needs PostgreSQL."""
    from pumice.app.workers import run

    run(_settings(context, port), workers)


@app.command()
def scheduler(context: typer.Context) -> None:
    """Choose pools and hosts, and end what is overdue. Any number of these may run; needs PostgreSQL."""
    _run_role(context, "scheduler")


@app.command()
def volume(context: typer.Context) -> None:
    """Work on this host's backends and their exports. One for each host; needs PostgreSQL."""
    _run_role(context, "volume")


@app.command()
def compute(context: typer.Context) -> None:
    """Work on this host's servers. One for each host; needs PostgreSQL."""
    _run_role(context, "compute")


@app.command()
def tour(
    context: typer.Context,
    stay: Annotated[bool, typer.Option("--stay", help="Keep serving afterwards.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the API; 0 takes a free one.")] = None,
) -> None:
    """Show the four stories on real parts: create, boot from volume, attach, detach."""
    from pumice.app.tour.run import run

    raise typer.Exit(run(_settings(context, port), stay=stay))


@app.command()
def doctor(
    context: typer.Context,
    role: Annotated[
        list[str], typer.Option(help="api, scheduler, volume or compute; by default those enabled here.")
    ] = [],  # noqa: B006 - Typer reads it, and hands out a list of its own
    json: Json = False,
    form: Form = Format.TABLE,
) -> None:
    """Say what is missing on this machine, what works without it, and what installs it."""
    from pumice.app.doctor import run
    from pumice.app.roles import Role

    if unknown := sorted(set(role) - set(Role)):
        raise typer.BadParameter(f"There is no role {unknown[0]!r}: {', '.join(Role)}.")
    roles = frozenset(map(Role, role))
    raise typer.Exit(run(_settings(context), roles, as_json=json or form is Format.JSON))


@app.command()
def audit(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Fix what can be repaired, beside a Pumice that serves.")
    ] = False,
    json: Json = False,
    form: Form = Format.TABLE,
) -> None:
    """Look for anything that is not as it should be: rows, bytes, exports, machines. 1 if there is any left."""
    from pumice.app.audit import run

    raise typer.Exit(run(_settings(context), repair=repair, as_json=json or form is Format.JSON))


@app.command()
def why(
    context: typer.Context,
    thing: Annotated[str, typer.Argument(metavar="ID", help="Its id, an id's beginning, or a name.")],
) -> None:
    """Tell why a thing is in its state, since when, and what happens next."""
    from pumice.app.why import run

    run(_settings(context), thing)


@explain.command("volume")
def explain_volume(
    context: typer.Context,
    size: Annotated[int | None, typer.Option(min=1, help="GiB.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="A volume type, by name or id.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="ID", help="A volume: what is not said is as it has it.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--availability-zone")] = None,
    project: Annotated[str | None, typer.Option(help="Whose volume it would be, by name or id.")] = None,
    json: Json = False,
) -> None:
    """Tell where such a volume would be made, and why; or why nowhere, and what to ask for instead."""
    from pumice.app import explain as explained

    wanted = explained.Asked(size, kind, zone, like, project)
    explained.run(_settings(context), wanted, as_json=json)


@app.command()
def settings(context: typer.Context, json: Json = False, form: Form = Format.TABLE) -> None:
    """Print every setting: its value, where that came from, and what it means."""
    from pumice.app.settings_table import show

    show(_settings(context), as_json=json or form is Format.JSON)


@app.command()
def policy() -> None:
    """Print every rule of the APIs with its default, as a policy file to begin with."""
    from pumice.app.policy_sample import sample

    typer.echo(sample(), nl=False)


@app.command()
def passwd(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="A user's name, in the domain Default.")] = "admin",
    generate: Annotated[bool, typer.Option("--generate", help="Make one, and print it.")] = False,
) -> None:
    """Set a user's password anew; asks for it, or reads the first line of standard input."""
    from pumice.app.passwd import run

    run(_settings(context), user, generate=generate)


@app.command("console-link")
def console_link(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Who is logged in by it; of the domain Default.")] = "admin",
    project: Annotated[
        str | None, typer.Option(help="For which project; by default that of the user's name.")
    ] = None,
) -> None:
    """Print a link that logs a browser in to the console, once, within ten minutes."""
    from pumice.app.console_link import run

    run(_settings(context), user, project or user)


@app.command()
def version() -> None:
    """Print the version."""
    from pumice import __version__

    print(f"pumice {__version__}")


Root = Annotated[Path, typer.Option(help="The machine's root directory.")]


@service.command("install")
def service_install(root: Root = Path("/")) -> None:
    """Write the units that run this installation, its account and directories; start nothing."""
    from pumice.app.units import install

    for path in install(root):
        print(path)
    print("Now: systemctl enable --now pumice (one machine), or pumice-api, -scheduler, -volume, -compute.")


@service.command("remove")
def service_remove(root: Root = Path("/")) -> None:
    """Stop the services and remove their units; state and settings stay."""
    from pumice.app.units import remove

    for path in remove(root):
        print(path)


@db.command("upgrade")
def db_upgrade(context: typer.Context) -> None:
    """Bring the database to this version's schema. `serve` does the same when it starts."""
    from pumice.app.terminal import waiting_is_told
    from pumice.store import schema
    from pumice.store.database import shown

    url = _settings(context).database()
    with waiting_is_told(f"Waiting for {shown(url)} …"):
        found = schema.upgrade(url)
    now = "was there already" if found == schema.HEAD else f"came from {found or 'an empty database'}"
    print(f"{shown(url)}: schema {schema.HEAD}, {now}")


@db.command("status")
def db_status(context: typer.Context) -> None:
    """Say what an upgrade would do, and which processes are connected, of this version and of others."""
    from pumice.app import upgrades

    upgrades.print_status(_settings(context))


@operations.command("list")
def operations_list(
    context: typer.Context,
    stuck: Annotated[bool, typer.Option("--stuck", help="Only those that nobody brings to an end.")] = False,
    running: Annotated[bool, typer.Option("--running", help="Only those under way.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    kind: Annotated[str | None, typer.Option(help="As in volume.create.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="The volume, server… they are about: name, id, or its first characters.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Whose they are: name or id.")] = None,
    since: Annotated[str | None, typer.Option(help="Begun since then: 30m, 2h, 7d, or a date.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 50,
    wide: Annotated[bool, typer.Option("--wide", help="Whole ids, places, and times.")] = False,
    json: Json = False,
    form: Form = Format.TABLE,
) -> None:
    """List operations, the newest first."""
    from pumice.app import operations_log

    which = operations_log.Which(stuck, running, failed, kind, subject, project, since, limit)
    operations_log.print_list(_settings(context), which, as_json=json or form is Format.JSON, wide=wide)


@operations.command("show")
def operations_show(
    context: typer.Context, operation: Id, json: Json = False, form: Form = Format.TABLE
) -> None:
    """Tell one operation: each step in order, when, where, for how long, and how it ended."""
    from pumice.app import operations_log

    operations_log.print_one(_settings(context), operation, as_json=json or form is Format.JSON)


@operations.command("cancel")
def operations_cancel(
    context: typer.Context, operation: Id, json: Json = False, form: Form = Format.TABLE
) -> None:
    """Ask an operation to turn back. The step in hand is never interrupted."""
    from pumice.app import operations_log

    operations_log.cancel(_settings(context), operation, as_json=json or form is Format.JSON)


@operations.command("retry")
def operations_retry(
    context: typer.Context, operation: Id, json: Json = False, form: Form = Format.TABLE
) -> None:
    """Try again now what waits for its next try, or what failed and can be asked for again."""
    from pumice.app import operations_log

    operations_log.retry(_settings(context), operation, as_json=json or form is Format.JSON)


@app.command()
def usage(
    context: typer.Context,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Default: 30 days.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Default: today, in UTC.")] = None,
    project: Annotated[str | None, typer.Option(help="Of this alone: name or id.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet or a program that bills.")] = False,
    form: Form = Format.TABLE,
    json: Json = False,
) -> None:
    """Tell the GiB-hours that projects have used, by day and type of volume."""
    from pumice.app import usage as work

    as_json = json or form is Format.JSON
    if csv and as_json:
        raise typer.BadParameter("Ask for --csv or for JSON.")
    work.run(_settings(context), first, last, project, as_json=as_json, as_csv=csv)


@image_cache.command("list")
def image_cache_list(
    context: typer.Context,
    wide: Annotated[bool, typer.Option("--wide", help="Not shortened.")] = False,
    form: Form = Format.TABLE,
    json: Json = False,
) -> None:
    """List the bases in every pool: of which image, how large, how often and when they were used."""
    from pumice.app import image_cache as work

    work.print_list(_settings(context), as_json=json or form is Format.JSON, wide=wide)


@image_cache.command("evict")
def image_cache_evict(
    context: typer.Context,
    base: Annotated[
        str | None, typer.Argument(metavar="ID", help="A base's id or an image's, or its first characters.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are not in use just now.")] = False,
) -> None:
    """Free bases; what was cloned of them stays whole, and the next volume of the image makes another."""
    from pumice.app import image_cache as work

    work.evict(_settings(context), base, everything=everything)


@hosts.callback()
def hosts_list(context: typer.Context, form: Form = Format.TABLE, json: Json = False) -> None:
    """List every host: its services, when it was last heard of, and what waits for it; or end one."""
    from pumice.app import hosts as work

    if context.invoked_subcommand is None:
        work.print_list(_settings(context), as_json=json or form is Format.JSON)


@hosts.command("forget")
def hosts_forget(
    context: typer.Context,
    name: HostName,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: the host is fenced, off for good.")] = False,
) -> None:
    """Give up a host that is gone for good. Without --yes only say what would be done."""
    from pumice.app import hosts as work

    work.forget(_settings(context), name, yes=yes)


@hosts.command("drain")
def hosts_drain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="HOST[@BACKEND]")],
    reason: Annotated[str, typer.Option(help="Why, for whoever is told that nothing fits.")],
    wait: Annotated[float | None, typer.Option(min=0, help="Seconds at most; by default to the end.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Whole ids.")] = False,
    form: Form = Format.TABLE,
    json: Json = False,
) -> None:
    """Give a host or a backend nothing new, wait until nothing is under way there, and tell what remains."""
    from pumice.app import drain as work

    as_json = json or form is Format.JSON
    rest = work.drain(_settings(context), name, reason, seconds=wait, as_json=as_json, wide=wide)
    raise typer.Exit(0 if rest else 1)


@hosts.command("resume")
def hosts_resume(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="HOST[@BACKEND]")]
) -> None:
    """Let a host or a backend that was drained be chosen again."""
    from pumice.app import drain as work

    work.resume(_settings(context), name)


@hosts.command("readmit")
def hosts_readmit(context: typer.Context, name: HostName) -> None:
    """Let a host come again under a name that was forgotten, with an empty state directory."""
    from pumice.app import hosts as work

    work.readmit(_settings(context), name)


Yes = Annotated[bool, typer.Option("--yes", help="Do it.")]
UnknownId = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the first characters.")]


@hosts.command("rename")
def hosts_rename(context: typer.Context, old: HostName, new: HostName, yes: Yes = False) -> None:
    """Give a host that is down another name, on that host. Without --yes only say what would be done."""
    from pumice.app import rename

    rename.rename_host(_settings(context), old, new, yes=yes)


@unknown.command("list")
def orphans_list(
    context: typer.Context,
    wide: Annotated[bool, typer.Option("--wide", help="Whole ids, and their names in the pool.")] = False,
    form: Form = Format.TABLE,
    json: Json = False,
) -> None:
    """List bytes of this host and its backups of which nothing is known, and since when they were put aside."""
    from pumice.app import orphans

    orphans.print_list(_settings(context), as_json=json or form is Format.JSON, wide=wide)


@unknown.command("adopt")
def orphans_adopt(
    context: typer.Context,
    piece: UnknownId,
    project: Annotated[str, typer.Option(help="Whose volume it becomes: a project's name or id.")],
    yes: Yes = False,
) -> None:
    """Make a volume of it. Without --yes only say so."""
    from pumice.app import orphans

    orphans.adopt(_settings(context), piece, project, yes=yes)


@unknown.command("remove")
def orphans_remove(context: typer.Context, piece: UnknownId, yes: Yes = False) -> None:
    """Free its bytes for good. Without --yes only say so."""
    from pumice.app import orphans

    orphans.remove(_settings(context), piece, yes=yes)


@backends.command("rename")
def backends_rename(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="HOST@OLD")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="As the settings call it from now on.")],
    yes: Yes = False,
) -> None:
    """Give a backend of a host that is down another name. Without --yes only say what would be done."""
    from pumice.app import rename

    rename.rename_backend(_settings(context), old, new, yes=yes)


@backends.command("take")
def backends_take(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(metavar="HOST@BACKEND#POOL")],
    yes: Yes = False,
) -> None:
    """Use a pool of this host although its mark is lost or another's. Without --yes only say whose it is."""
    from pumice.app import rename

    rename.take_pool(_settings(context), pool, yes=yes)


@secrets.command("rotate")
def secrets_rotate(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID…]", help="Attachments, volumes, servers: ids, their beginnings, names."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every attachment of the servers here.")] = False,
) -> None:
    """Give attachments that stand other CHAP passwords, beside a Pumice that serves. 1 if any failed."""
    from pumice.app import rotation

    if bool(what) is every:
        raise typer.BadParameter("Name attachments, volumes or servers, or ask for --all.")
    raise typer.Exit(0 if rotation.run(_settings(context), what or [], every=every) else 1)


def _run_role(context: typer.Context, role: str) -> None:
    from pumice.app.roles import Role
    from pumice.app.serve import run_roles

    run_roles(_settings(context), frozenset({Role(role)}))


def _settings(context: typer.Context, port: int | None = None) -> "Settings":
    from pumice.app.settings import load, read_environment

    read_environment()
    if port is not None:
        context.obj["api"] = {"port": port}
    return load(**context.obj)
