"""A PostgreSQL of the tests' own: on a socket in a directory of its own, gone afterwards."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.patience import PATIENCE, patience

from pumice.store import schema
from pumice.store.database import Database, Transaction
from pumice.store.tables import metadata

_FAST = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "autovacuum": "off",
}
_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid != pg_backend_pid()"
_END_OTHERS = f"DO $$ BEGIN PERFORM pg_terminate_backend(pid, 10000) {_OTHERS}; END $$;\n"
_EMPTY = f"""
    DO $$
    DECLARE
        name text;
    BEGIN
        SET LOCAL session_replication_role = replica;  -- without a look at foreign keys
        FOREACH name IN ARRAY '{{{",".join(metadata.tables)}}}'::text[] LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
    END $$;
"""  # noqa: S608 - ours
"""Empty all tables. For the few rows of a test DELETE costs half of TRUNCATE."""


class PostgresServer:
    """A running server. Each test takes an empty database, copied from one that has the schema."""

    def __init__(self, settings: Mapping[str, str] = _FAST) -> None:
        self.settings = settings
        self.directory = Path(tempfile.mkdtemp(prefix="pumice-pg-"))
        self._user: list[str] = []
        if os.getuid() == 0:  # it refuses to run as root
            account = _account()
            shutil.chown(self.directory, account.pw_uid, account.pw_gid)
            self._user = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        self._made = 0
        self._free: list[str] = []
        self._emptying: dict[str, subprocess.Popen[str]] = {}
        self._process: subprocess.Popen[bytes] | None = None
        data = self.directory / "data"
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", str(data)
        )
        try:
            self.start()
            schema.upgrade(self.url("postgres"))
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it, and wait until it answers. After a kill -9 it refuses until its orphans have ended."""
        give_up = time.monotonic() + PATIENCE
        while subprocess.run([_binary("pg_isready"), "-q", "-h", self.directory], check=False).returncode:
            if self._process is None or self._process.poll() is not None:
                self._process = self._launch()
            assert time.monotonic() < give_up, (self.directory / "log").read_text()
            time.sleep(0.05)

    def _launch(self) -> subprocess.Popen[bytes]:
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        command = [*self._user, _binary("postgres"), "-D", str(self.directory / "data"), *options]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [*command, f"-cunix_socket_directories={self.directory}"],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )

    @property
    def process_id(self) -> int:
        """The server's own; those of its connections are its children."""
        assert self._process is not None
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it: SIGQUIT at once, as after a crash; SIGKILL as in one; SIGINT without losing anything."""
        while self._emptying:
            self._emptying.popitem()[1].communicate()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def pid(self) -> int | None:
        """Its process, while it was not stopped."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Stop it and forget everything."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def take(self) -> str:
        """The name of an empty database that nobody else has."""
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"test_{self._made}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE postgres", "template1")
        return name

    def give_back(self, name: str) -> None:
        """Empty a database for the next test, which is quicker than to make a new one."""
        psql = self._emptying.get(name)
        if psql is None:
            psql = self._emptying[name] = self._psql(name)
        assert psql.stdin is not None and psql.stdout is not None
        newest = f"UPDATE alembic_version SET version_num = '{schema.HEAD}';\n"  # noqa: S608 - ours; whatever the test made of it
        psql.stdin.write(_END_OTHERS + _EMPTY + newest + "\\echo emptied\n")
        psql.stdin.flush()
        if psql.stdout.readline() != "emptied\n":
            raise RuntimeError(f"{name} cannot be emptied: {psql.stdout.read()}")
        self._free.append(name)

    def url(self, name: str) -> str:
        """How to reach a database."""
        return f"postgresql://postgres@/{name}?host={self.directory}"

    def sql(self, statement: str, database: str) -> str:
        """Run a statement outside of everything; what it answers, unadorned."""
        return self._run(
            "psql", "-XAtq", "-h", str(self.directory), "-U", "postgres", "-c", statement, database
        )

    def _psql(self, name: str) -> subprocess.Popen[str]:
        """One that stays: to start it and to connect is more than to empty a database."""
        words = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self.directory), "-U", "postgres", name)
        return subprocess.Popen(
            [*self._user, _binary("psql"), *words],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._user, _binary(program), *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


async def empty(db: Database) -> None:
    """Empty a database that stays open for the next test. What another left under way has ended then."""

    def is_busy(tx: Transaction) -> bool:
        others = f"SELECT count(*) {_OTHERS} AND state != 'idle'"
        return bool(tx.connection.exec_driver_sql(others).scalar())

    async with patience():
        while await db.read(is_busy):
            await asyncio.sleep(0.005)
    await db.write(lambda tx: tx.connection.exec_driver_sql(_EMPTY) and None)


def is_installed() -> bool:
    """Whether this machine has a PostgreSQL."""
    return bool(_versions())


def _versions() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _binary(program: str) -> str:
    return str(_versions()[-1] / program)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
