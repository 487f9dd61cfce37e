"""tgtd's management socket: the requests that ``tgtadm`` would send, without starting ``tgtadm``.

One request is one connection to a unix socket: a fixed header, a text of ``name=value`` words, then an
answer of an error code and a text. This keeps CHAP secrets off the command line, where every user of the
machine could read them, and costs 0.1 ms instead of a process (``docs/decisions/0003-tgt-management.md``).

Everything here blocks and belongs in a thread. tgtd serves one request at a time, and only to its own user.
"""

import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from pumice.model.errors import Invalid, Retryable

DEFAULT_SOCKET = Path("/var/run/tgtd/socket")
"""The socket of the system's tgtd, which itself appends its control port, ``.0``."""

LONGEST_SOCKET_PATH = 107
"""What fits into ``sockaddr_un`` with its final NUL."""

BUSY_LIMIT = 3.0
"""How long requests of a guest may be under way where we wait for their end, in seconds."""

_REQUEST = struct.Struct("=II64sIiQQIIIIII")
"""mode, op, lld, length, tid, sid, lun, cid, host, device type, account direction, pack, force"""
_ANSWER = struct.Struct("=II")
"""error, length (this header included)"""


class _Op(IntEnum):
    NEW = 0
    DELETE = 1
    SHOW = 2
    BIND = 3
    UNBIND = 4
    UPDATE = 5


class _Mode(IntEnum):
    SYSTEM = 0
    TARGET = 1
    LOGICAL_UNIT = 2
    PORTAL = 3
    CONNECTION = 6
    ACCOUNT = 7


class Refusal(IntEnum):
    """tgtd's error codes that a caller here can meet; the name, read aloud, is the explanation."""

    UNKNOWN_ERROR = 1
    OUT_OF_MEMORY = 2
    NO_DRIVER = 3
    NO_TARGET = 4
    NO_LOGICAL_UNIT = 5
    NO_SESSION = 6
    NO_CONNECTION = 7
    NO_BINDING = 8
    TARGET_EXISTS = 9
    LOGICAL_UNIT_EXISTS = 10
    BINDING_EXISTS = 11
    ACL_RULE_EXISTS = 12
    NO_ACL_RULE = 13
    ACCOUNT_EXISTS = 14
    NO_ACCOUNT = 15
    TOO_MANY_ACCOUNTS = 16
    INVALID_REQUEST = 17
    TARGET_ACTIVE = 19
    LOGICAL_UNIT_ACTIVE = 20


class TgtdSilent(Retryable):
    """tgtd does not answer: it is down, hangs, or runs as another user."""


class TgtdRefused(Retryable):
    """tgtd answered, and said no."""

    def __init__(self, what: str, code: int) -> None:
        known = code in set(Refusal)
        words = Refusal(code).name.lower().replace("_", " ") if known else f"error {code}"
        super().__init__("The target daemon refused.", f"tgtd, to {what}: {words}.")
        self.code = code


@dataclass(frozen=True, slots=True)
class Listed:
    """A target as tgtd describes it. ``accounts`` are in the order of tgtd's slots, which matters."""

    tid: int
    iqn: str
    device: str | None
    """Path behind logical unit 1; None when there is no such unit."""
    scsi_id: str | None
    thin: bool
    read_only: bool
    accounts: tuple[str, ...]
    initiators: tuple[str, ...]
    """The names that may log in."""
    connections: tuple[tuple[int, int, str], ...]
    """Session id, connection id and initiator of everyone who is logged in."""


class Management:
    """The requests this project needs. All raise ``TgtdSilent`` or ``TgtdRefused``.

    Taking something away that is not there succeeds; adding what is there already does too, unless a
    method says otherwise.
    """

    def __init__(self, ipc_socket: Path, timeout: float = 10.0) -> None:
        """``ipc_socket`` is what tgtd was given as TGT_IPC_SOCKET; ``timeout`` in seconds, per request."""
        self.address = f"{ipc_socket}.0"
        self._timeout = timeout

    # --- looking ----------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether a tgtd answers at the socket."""
        try:
            self.portals()
        except TgtdSilent:
            return False
        return True

    def portals(self) -> list[str]:
        """``ip:port`` of everything tgtd listens on."""
        return re.findall(
            r"^Portal: (\S+),\d+$", self.ask("list portals", _Mode.PORTAL, _Op.SHOW), re.MULTILINE
        )

    def add_portal(self, portal: str) -> None:
        """Listen at ``ip:port`` too. Nobody else may: tgtd does not tell that it could not."""
        self.ask("listen at a portal", _Mode.PORTAL, _Op.NEW, _words(portal=portal))

    def remove_portal(self, portal: str) -> None:
        """Listen there no more. Sessions that were begun there go on."""
        self.ask("leave a portal", _Mode.PORTAL, _Op.DELETE, _words(portal=portal))

    def targets(self) -> list[Listed]:
        """Every target there is, also those of others."""
        return [_read_target(block) for block in self._blocks()]

    def target(self, iqn: str) -> Listed | None:
        """The target of that name, without reading through all the others."""
        return next((_read_target(block) for block in self._blocks() if _name(block)[1] == iqn), None)

    def taken(self) -> set[int]:
        """The numbers of all targets."""
        return {_name(block)[0] for block in self._blocks()}

    def _blocks(self) -> list[str]:
        """The listing of each target. tgtd can only list all: about 1.6 kB each."""
        text = self.ask("list targets", _Mode.TARGET, _Op.SHOW, tid=-1)
        return [f"Target {block}" for block in f"\n{text}".split("\nTarget ")[1:]]

    def accounts(self) -> list[str]:
        """Every CHAP account there is, also those of others and those bound to no target."""
        text = self.ask("list accounts", _Mode.ACCOUNT, _Op.SHOW)
        return [line.strip() for line in text.splitlines()[1:]]

    # --- targets and logical units ------------------------------------------------------------------

    def add_target(self, tid: int, iqn: str) -> None:
        """Raises ``TgtdRefused`` with ``TARGET_EXISTS`` when the number or the name is taken."""
        self.ask(f"create the target {iqn}", _Mode.TARGET, _Op.NEW, _words(targetname=iqn), tid=tid)

    def remove_target(self, target: Listed) -> None:
        """The target with its unit, rules and sessions; its accounts stay. Sessions end first, and nobody
        can begin one in between: tgtd may die of deleting a target in which requests are under way."""
        for initiator in target.initiators:
            self.unbind_initiator(target.tid, initiator)
        self.end_sessions(target)
        delete = partial(
            self.ask,
            "delete a target",
            _Mode.TARGET,
            _Op.DELETE,
            tid=target.tid,
            force=1,
            fine=Refusal.NO_TARGET,
        )
        self._when_idle(delete)

    def add_logical_unit(self, tid: int, device: Path) -> None:
        """Put ``device`` behind logical unit 1. Raises ``LOGICAL_UNIT_EXISTS`` when there is one."""
        text = _words(path=str(device))
        self.ask(f"export {device}", _Mode.LOGICAL_UNIT, _Op.NEW, text, tid=tid, lun=1)

    def describe_logical_unit(self, tid: int, scsi_id: str, *, read_only: bool) -> None:
        """Let guests discard blocks, give the disk an identity of its own, and say whether it is read-only."""
        text = f"targetOps thin_provisioning=1,scsi_id={scsi_id},scsi_sn={scsi_id},readonly={int(read_only)},"
        self.ask("describe a disk", _Mode.LOGICAL_UNIT, _Op.UPDATE, text, tid=tid, lun=1)

    def delete_logical_unit(self, tid: int) -> None:
        """Waits for requests under way in it; raises ``LOGICAL_UNIT_ACTIVE`` when they do not end."""
        fine = Refusal.NO_LOGICAL_UNIT
        self._when_idle(
            partial(self.ask, "take a disk out", _Mode.LOGICAL_UNIT, _Op.DELETE, tid=tid, lun=1, fine=fine)
        )

    # --- who may log in -----------------------------------------------------------------------------

    def add_account(self, user: str, password: str) -> None:
        """An account that exists keeps the password it has."""
        text = _words(user=user, password=password)
        self.ask("create an account", _Mode.ACCOUNT, _Op.NEW, text, fine=Refusal.ACCOUNT_EXISTS)

    def delete_account(self, user: str) -> None:
        """Must be bound nowhere: see ``tgt.py`` for why."""
        self.ask("delete an account", _Mode.ACCOUNT, _Op.DELETE, _words(user=user), fine=Refusal.NO_ACCOUNT)

    def bind_account(self, tid: int, user: str) -> None:
        """Let the account log in to the target."""
        text, fine = _words(user=user), Refusal.ACCOUNT_EXISTS
        self.ask("bind an account", _Mode.ACCOUNT, _Op.BIND, text, tid=tid, fine=fine)

    def unbind_account(self, tid: int, user: str) -> None:
        """Unbind an account; only ever the last in the target's slots (see ``tgt.py``)."""
        text, fine = _words(user=user), Refusal.NO_ACCOUNT
        self.ask("unbind an account", _Mode.ACCOUNT, _Op.UNBIND, text, tid=tid, fine=fine)

    def bind_initiator(self, tid: int, initiator: str) -> None:
        """Show the target to this initiator name; without any such rule nobody sees it."""
        text, fine = _words(**{"initiator-name": initiator}), Refusal.ACL_RULE_EXISTS
        self.ask("let an initiator in", _Mode.TARGET, _Op.BIND, text, tid=tid, fine=fine)

    def unbind_initiator(self, tid: int, initiator: str) -> None:
        """Sessions that are open stay open."""
        text, fine = _words(**{"initiator-name": initiator}), Refusal.NO_ACL_RULE
        self.ask("shut an initiator out", _Mode.TARGET, _Op.UNBIND, text, tid=tid, fine=fine)

    def end_sessions(self, target: Listed, initiator: str | None = None) -> None:
        """Cut every session there is by now, or those of one initiator, and see them gone."""

        def sessions() -> set[tuple[int, int]]:
            now = self.target(target.iqn)
            found = now.connections if now else ()
            return {(sid, cid) for sid, cid, name in found if initiator in (None, name)}

        doomed = sessions()
        fine = Refusal.NO_SESSION, Refusal.NO_CONNECTION
        for sid, cid in doomed:
            self.ask("end a session", _Mode.CONNECTION, _Op.DELETE, tid=target.tid, sid=sid, cid=cid, fine=fine)
        limit = monotonic() + BUSY_LIMIT
        while doomed and doomed & sessions():
            if monotonic() > limit:
                raise Retryable("tgtd does not end the sessions of an initiator that was shut out.")
            sleep(0.01)

    def shut_down(self) -> None:
        """End tgtd. It ignores this while it has targets, and ignores SIGTERM always."""
        self.ask("shut down", _Mode.SYSTEM, _Op.DELETE)

    def _when_idle(self, request: Callable[[], object]) -> None:
        """Make a request that tgtd refuses while the guest's requests are under way."""
        limit = monotonic() + BUSY_LIMIT
        while True:
            try:
                request()
            except TgtdRefused as error:
                if error.code != Refusal.LOGICAL_UNIT_ACTIVE or monotonic() > limit:
                    raise
                sleep(0.01)
            else:
                return

    # --- the wire -----------------------------------------------------------------------------------

    def ask(
        self,
        what: str,
        mode: _Mode,
        op: _Op,
        text: str = "",
        *,
        tid: int = 0,
        lun: int = 0,
        sid: int = 0,
        cid: int = 0,
        force: int = 0,
        fine: Refusal | tuple[Refusal, ...] = (),
    ) -> str:
        """Send a request. ``what`` tells an error what was tried; ``fine`` are refusals that mean: it is so."""
        body = text.encode() + b"\0" if text else b""
        header = _REQUEST.pack(
            mode, op, b"iscsi", _REQUEST.size + len(body), tid, sid, lun, cid, 0, 0, 0, 0, force
        )
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout)
                connection.connect(self.address)
                connection.sendall(header + body)
                code, length = _ANSWER.unpack(_read(connection, _ANSWER.size))
                answer = b"" if code else _read(connection, length - _ANSWER.size)
        except (OSError, EOFError) as error:
            reason = "it closed the connection (does it run as another user?)"
            if isinstance(error, OSError):
                reason = (
                    "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
                )
            raise TgtdSilent(
                "The target daemon does not answer.", f"tgtd at {self.address}: {reason}."
            ) from error
        if code and code not in (fine if isinstance(fine, tuple) else (fine,)):
            raise TgtdRefused(what, code)
        return answer.rstrip(b"\0").decode(errors="replace")


def _read(connection: socket.socket, length: int) -> bytes:
    """Exactly ``length`` bytes, or EOFError."""
    pieces = bytearray()
    while len(pieces) < length:
        piece = connection.recv(min(length - len(pieces), 1 << 18))
        if not piece:
            raise EOFError
        pieces += piece
    return bytes(pieces)


def _words(**words: str) -> str:
    """``name=value,name=value``. tgtd knows no quoting, so what would end a value early is refused."""
    for name, value in words.items():
        if not value or re.search(r"[,\0\n]", value):
            raise Invalid(f"tgtd cannot be told this {name}: it is empty, or holds a comma or a line break.")
    return ",".join(f"{name}={value}" for name, value in words.items())


def _name(block: str) -> tuple[int, str]:
    """Number and name of a target, from the first line of its listing: ``Target 7: iqn.…``."""
    number, _, iqn = block.partition("\n")[0].removeprefix("Target ").partition(": ")
    return int(number), iqn


def _read_target(block: str) -> Listed:
    """Parse one target of the listing; its parts come in a fixed order under fixed headings."""
    head, _, rest = block.partition("    I_T nexus information:\n")
    nexuses, _, rest = rest.partition("    LUN information:\n")
    units, _, rest = rest.partition("    Account information:\n")
    accounts, _, initiators = rest.partition("    ACL information:\n")
    tid, iqn = _name(head)
    unit = re.search(r"^ {8}LUN: 1\n((?: {12}.*\n)*)", units, re.MULTILINE)
    facts = dict(re.findall(r"^ +([^:\n]+): (.*)$", unit[1], re.MULTILINE)) if unit else {}
    return Listed(
        tid=tid,
        iqn=iqn,
        device=facts.get("Backing store path"),
        scsi_id=facts.get("SCSI ID"),
        thin=facts.get("Thin-provisioning") == "Yes",
        read_only=facts.get("Readonly") == "Yes",
        accounts=tuple(line.strip() for line in accounts.splitlines()),
        initiators=tuple(line.strip() for line in initiators.splitlines()),
        connections=tuple(
            (int(sid), int(cid), initiator)
            for sid, initiator, cid in re.findall(
                r"I_T nexus: (\d+)\n +Initiator: (\S+) alias: .*\n +Connection: (\d+)", nexuses
            )
        ),
    )
