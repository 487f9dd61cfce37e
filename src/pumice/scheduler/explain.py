"""The choice that ``choose.py`` makes, told: each pool, each filter's verdict, each weigher's share, who wins.

And where no pool fits, what to ask for instead. It asks the very filters and weighers that choose: what is told
is what would happen, at this moment.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from pumice.model.tunables import Tunables
from pumice.model.volume import Pool
from pumice.scheduler.choose import WORDS
from pumice.scheduler.filters import FILTERS, in_use, met, reported
from pumice.scheduler.request import Request
from pumice.scheduler.weighers import STOCHASTIC, rank, shares

ALWAYS_TOLD = frozenset({"AvailabilityZoneFilter", "CapacityFilter"})
"""The filters whose figures say something of a pool that passes, too."""
MOST_GIB = 1 << 24


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one filter says of one pool."""

    filter: str
    passes: bool
    figures: str | None
    """What the pool has of what the filter asks for."""


@dataclass(frozen=True, slots=True)
class Looked:
    """One pool, as it was looked at."""

    pool: Pool
    verdicts: Sequence[Verdict]
    shares: Mapping[str, float]
    """What each weigher gives it; empty where it does not fit."""

    @property
    def fits(self) -> bool:
        """Whether every filter lets it pass."""
        return all(verdict.passes for verdict in self.verdicts)

    @property
    def weight(self) -> float:
        """What its weighers give it in all."""
        return sum(self.shares.values())

    @property
    def refused_by(self) -> tuple[str, ...]:
        """The filters that do not let it pass."""
        return tuple(verdict.filter for verdict in self.verdicts if not verdict.passes)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request."""

    request: Request
    looked: Sequence[Looked]
    """The pools, the best first, then those that do not fit."""
    drawn: bool
    """Whether the winner is drawn by chance, a better one more often."""
    advice: Sequence[str]
    """Where no pool fits: what to change so that one would, a sentence for each way."""

    @property
    def winner(self) -> Pool | None:
        """The pool that would be chosen, or the likeliest where one is drawn; None where none fits."""
        return self.looked[0].pool if self.looked and self.looked[0].fits else None

    def left(self) -> list[tuple[str, int]]:
        """How many pools each filter leaves, in the order in which they are asked."""
        names = [verdict.filter for verdict in self.looked[0].verdicts] if self.looked else []
        return [
            (name, sum(all(it.passes for it in one.verdicts[: number + 1]) for one in self.looked))
            for number, name in enumerate(names)
        ]


def explain(pools: Sequence[Pool], request: Request, tunables: Tunables) -> Explanation:
    """The choice of a pool for ``request`` among these."""
    filters = in_use(tunables)
    judged = {pool.name: [_verdict(name, pool, request) for name in filters] for pool in pools}
    left = [pool for pool in pools if all(verdict.passes for verdict in judged[pool.name])]
    given: dict[str, dict[str, float]] = {pool.name: {} for pool in pools}
    for name, weights in shares(left, request, tunables) if left else ():
        for pool, weight in zip(left, weights, strict=True):
            given[pool.name][name] = given[pool.name].get(name, 0.0) + weight
    looked = [Looked(pool, judged[pool.name], given[pool.name]) for pool in pools]
    looked.sort(key=lambda one: (not one.fits, len(one.refused_by), rank(one.pool, one.weight)))
    drawn = tunables.weight_handler == STOCHASTIC
    return Explanation(request, looked, drawn, [] if left else advice(looked, request))


def _verdict(name: str, pool: Pool, request: Request) -> Verdict:
    passes = FILTERS[name](pool, request)
    figures = WORDS[name][1](pool, request) if name in ALWAYS_TOLD or not passes else None
    return Verdict(name, passes, figures)


def advice(looked: Sequence[Looked], request: Request) -> list[str]:
    """What to change so that a pool would fit: of the pools that lack least, a sentence for each way."""
    fewest = min((len(one.refused_by) for one in looked), default=0)
    ways: dict[tuple[str, ...], list[Pool]] = {}
    for one in looked:
        if len(one.refused_by) == fewest:
            ways.setdefault(one.refused_by, []).append(one.pool)
    return [_sentence(names, pools, request) for names, pools in ways.items()]


def _sentence(names: Sequence[str], pools: Sequence[Pool], request: Request) -> str:
    text = ", and ".join(_ADVICE[name](pools, request) for name in names)
    return f"{text[0].upper()}{text[1:]}."


def largest(pool: Pool, request: Request) -> int:
    """The largest volume for which a pool has room, in GiB; 0 for none."""
    least, most = 0, MOST_GIB
    while least < most:
        middle = (least + most + 1) // 2
        if FILTERS["CapacityFilter"](pool, replace(request, size=middle)):
            least = middle
        else:
            most = middle - 1
    return least


def _smaller(pools: Sequence[Pool], request: Request) -> str:
    size = max(largest(pool, request) for pool in pools)
    return f"ask for at most {size} GiB" if size else "delete something: there is no room for 1 GiB"


def _zone(pools: Sequence[Pool], _: Request) -> str:
    return f"ask for the availability zone {' or '.join(sorted({pool.availability_zone for pool in pools}))}"


def _type(pools: Sequence[Pool], request: Request) -> str:
    wanted = sorted(
        {
            name
            for pool in pools
            for name, value in request.capabilities.items()
            if not met(reported(pool), name, value)
        }
    )
    return f"choose a volume type that does not ask for {', '.join(wanted)} as this one does"


def _without(hint: str) -> Callable[[Sequence[Pool], Request], str]:
    return lambda _pools, _request: f"leave out the hint '{hint}', or name others"


_ADVICE: Mapping[str, Callable[[Sequence[Pool], Request], str]] = MappingProxyType(
    {
        "AvailabilityZoneFilter": _zone,
        "SameBackend": lambda *_: "make it of nothing or of an image: what it is made of has its backend",
        "SameBackendFilter": _without("same_host"),
        "DifferentBackendFilter": _without("different_host"),
        "InstanceLocalityFilter": _without("local_to_instance"),
        "WithinReach": lambda *_: "let the server run on another host",
        "IgnoreAttempted": lambda *_: "ask again later: every pool that suits it was tried, and failed",
        "CapacityFilter": _smaller,
        "CapabilitiesFilter": _type,
        "DriverFilter": lambda *_: "ask for another size or type: the backend's own rule refuses this one",
        "JsonFilter": _without("query"),
    }
)
