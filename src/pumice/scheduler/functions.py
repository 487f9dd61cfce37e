"""``filter_function`` and ``goodness_function``: what an operator wrote about a backend, evaluated.

The language of Cinder's driver filter and goodness weigher (admin guide, "Configure and use driver filter and
weighing for scheduler"): numbers, names with a dot such as ``stats.free_capacity_gb`` or ``volume.size``,
``+ - * / ^``, comparisons (``<>`` is ``!=``), ``and or not`` (``& | !``), ``abs min max`` and
``condition ? yes : no``. It is read here by precedence, and nothing of Python is ever evaluated.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping

from pumice.model.volume import Pool
from pumice.scheduler.request import Request

Value = float | bool | str
Names = Mapping[str, Mapping[str, object]]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<sign><=|>=|==|!=|<>|[-+*/^<>()?:,&|!]))"
)
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"abs": abs, "min": min, "max": max}
_SIGNS = {"and": "&", "or": "|", "not": "!", "AND": "&", "OR": "|", "NOT": "!"}
_COMPARE: Mapping[str, Callable[[Value, Value], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
}
_NUMERIC: Mapping[str, Callable[[float, float], Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": math.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BINDS = {"|": 1, "&": 2, "==": 4, "!=": 4, "<>": 4, "<": 4, "<=": 4, ">": 4, ">=": 4}
_BINDS |= {"+": 5, "-": 5, "*": 6, "/": 6, "^": 8}
_NOT, _MINUS = 3, 7


class Malformed(ValueError):
    """The expression cannot be read, or speaks of what is not known."""


def evaluate(expression: str, names: Names) -> Value:
    """The expression's value, with ``names["volume"]["size"]`` for ``volume.size``. Raises ``Malformed``."""
    reader = _Reader(_split(expression), names)
    try:
        value = reader.choice()
    except (TypeError, ArithmeticError, ValueError, RecursionError) as error:
        raise error if isinstance(error, Malformed) else Malformed(f"{expression!r}: {error}") from error
    if reader.left:
        raise Malformed(f"{expression!r}: there is something left at {reader.left[0]!r}.")
    return value


def _split(expression: str) -> list[str]:
    words, position, expression = [], 0, expression.rstrip()
    while position < len(expression):
        found = _TOKEN.match(expression, position)
        if found is None:
            raise Malformed(f"{expression!r}: not understood from {expression[position:]!r} on.")
        words.append(_SIGNS.get(found[0].strip(), found[0].strip()))
        position = found.end()
    return words


class _Reader:
    """Reads words from the left, and evaluates as it goes."""

    def __init__(self, words: list[str], names: Names) -> None:
        self.left = words
        self._names = names

    def choice(self) -> Value:
        """``condition ? yes : no``, or just a value. Both sides are evaluated."""
        value = self.operation(0)
        if not self.left or self.left[0] != "?":
            return value
        self._take("?")
        yes = self.choice()
        self._take(":")
        no = self.choice()
        return yes if value else no

    def operation(self, weakest: int) -> Value:
        """Operands and operators that bind more strongly than ``weakest``."""
        value = self._operand()
        while self.left and _BINDS.get(self.left[0], 0) > weakest:
            sign = self._take()
            right = self.operation(_BINDS[sign] - (sign == "^"))
            if sign == "&":
                value = bool(value) and bool(right)
            elif sign == "|":
                value = bool(value) or bool(right)
            elif sign in _COMPARE:
                value = _COMPARE[sign](value, right)
            else:
                value = _NUMERIC[sign](_number(value), _number(right))
        return value

    def _operand(self) -> Value:
        word = self._take()
        if word == "!":
            return not self.operation(_NOT)
        if word in "+-":
            value = _number(self.operation(_MINUS))
            return -value if word == "-" else value
        if word == "(":
            inner = self.choice()
            self._take(")")
            return inner
        if word[0] in "'\"":
            return word[1:-1]
        if word[0].isdigit():
            return float(word)
        return self._function(word) if word in _FUNCTIONS else self._named(word)

    def _function(self, name: str) -> float:
        self._take("(")
        values = [_number(self.choice())]
        while self.left and self.left[0] == ",":
            self._take(",")
            values.append(_number(self.choice()))
        self._take(")")
        return float(_FUNCTIONS[name](*values))

    def _named(self, name: str) -> Value:
        group, _, rest = name.partition(".")
        value = self._names.get(group, {}).get(rest)
        if not isinstance(value, str | int | float):
            raise Malformed(f"'{name}' is not known.")
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                return value
        return value

    def _take(self, wanted: str | None = None) -> str:
        if not self.left or (wanted is not None and self.left[0] != wanted):
            raise Malformed(f"'{wanted or 'a value'}' is missing before {(self.left or ['the end'])[0]!r}.")
        return self.left.pop(0)


def about(pool: Pool, request: Request) -> Names:
    """The names that an expression, or a query, may use, with their values."""
    stats = {
        "host": pool.host,
        "backend_id": pool.name,
        "thin_provisioning_support": pool.thin,
        "availability_zone": pool.availability_zone,
        "free_capacity_gb": pool.free_gb,
        "total_capacity_gb": pool.total_gb,
        "allocated_capacity_gb": pool.claimed_gb,
        "provisioned_capacity_gb": pool.claimed_gb,
        "max_over_subscription_ratio": pool.max_over_subscription_ratio,
        "reserved_percentage": pool.reserved_percentage,
        "total_volumes": pool.volumes,
        "capabilities": pool.capabilities,
        **pool.capabilities,
    }
    return {
        "stats": stats,
        "capabilities": pool.capabilities,
        "volume": {"size": request.size, "availability_zone": request.availability_zone},
        "extra": request.extra_specs,
    }


def _number(value: Value) -> float:
    if isinstance(value, str):
        raise Malformed(f"{value!r} is not a number.")
    return float(value)
