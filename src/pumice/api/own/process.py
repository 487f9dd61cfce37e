"""What only operators ask of the process that answers: its settings, what its machine lacks, to repair.

Of several processes behind one address each tells of itself: its host is named in the answer.
"""

from typing import Literal, Protocol

from pydantic import Field, JsonValue

from pumice.api.call import Call, Reply
from pumice.api.own.shapes import Moment, Shape
from pumice.api.policy import ADMIN, Rule
from pumice.api.routing import Route
from pumice.model.errors import Invalid


class Setting(Shape):
    """A setting."""

    name: str = Field(description="Dotted, as in api.port.")
    variable: str = Field(description="The environment variable that sets it.")
    value: JsonValue = Field(description="A secret is (not shown).")
    source: str = Field(description="flag, environment, the path of a settings file, or default.")
    meaning: str
    live: bool = Field(description="Whether SIGHUP changes it; else it needs a restart.")


class Settings(Shape):
    """Every setting in force in the process that answers."""

    host: str
    settings: list[Setting]


class Finding(Shape):
    """What was found of one part of the machine."""

    part: str
    verdict: Literal["ok", "degraded", "missing"]
    found: str
    without: str = Field(description="What works all the same.")
    cure: str = Field(description="The command that installs it, or what else to do.")
    needed: bool = Field(description="Whether volumes cannot be served without it.")


class Examination(Shape):
    """What the doctor found on the machine of the process that answers, for the roles of that process."""

    host: str
    at: Moment = Field(description="When. It is kept for a minute.")
    serves: bool = Field(description="Whether nothing keeps volumes from being served.")
    findings: list[Finding]


class Doctor(Shape):
    """What is missing, what works without it, and what installs it."""

    doctor: Examination


class Repaired(Shape):
    """What was not as it should be, each in a sentence."""

    host: str
    at: Moment = Field(description="When all that could be repaired was.")
    repaired: list[str] = Field(description="And what was done about it.")
    left: list[str] = Field(description="What only a person can put right.")
    put_aside: list[str] = Field(description="Bytes that nothing here knows, kept for a person to look at.")
    not_looked_at: list[str] = Field(description="Places that other hosts serve, or whose daemon does not run.")


class Repair(Shape):
    """A repair that has ended."""

    repair: Repaired


class Process(Protocol):
    """The process that answers, as operators see it."""

    async def settings(self) -> Settings:
        """What is in force in it."""

    async def examine(self) -> Examination:
        """Look at its machine. Raises ``Retryable`` when that does not end in time."""

    async def repair(self, seconds: float) -> Repaired:
        """Put right what can be; who asks meanwhile is told of the same repair.

        Raises ``Retryable`` after ``seconds``: it goes on.
        """


def _of(call: Call) -> Process:
    assert call.ctx.process is not None, "what answers tells of itself"
    return call.ctx.process


async def show_settings(call: Call) -> Reply:
    """Show every setting of the process that answers: its value, its source, its meaning. Never a secret."""
    return Reply((await _of(call).settings()).model_dump(mode="json"))


async def examine(call: Call) -> Reply:
    """Tell what the machine of the process that answers lacks, and what to do about it."""
    return Reply(Doctor(doctor=await _of(call).examine()).model_dump(mode="json"))


async def repair(call: Call) -> Reply:
    """Put right what is not as it should be: rows, and what the process that answers reaches outside."""
    async for piece in call.stream:
        if piece:
            raise Invalid("A repair is asked for without a body.")
    done = await _of(call).repair(call.ctx.tunables.api_wait_seconds)
    call.ctx.audited = None
    return Reply(Repair(repair=done).model_dump(mode="json"))


ROUTES = (
    Route("GET", "/settings", show_settings, Rule("pumice:settings", ADMIN)),
    Route("GET", "/doctor", examine, Rule("pumice:doctor", ADMIN)),
    Route("POST", "/audit/actions/repair", repair, Rule("pumice:audit:repair", ADMIN)),
)
