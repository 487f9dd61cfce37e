"""What an error of the database tells: the statement and its kind, never a value.

Rows hold secrets (a CHAP password, a key), and an error is logged. SQLAlchemy leaves parameters out by
``hide_parameters``; PostgreSQL repeats values itself, in a DETAIL ("Failing row contains …") or in the message
("invalid input syntax for type integer: …"), and those are replaced here, before anybody can write them down.
"""

import sqlalchemy as sa
from sqlalchemy.engine import ExceptionContext

_ABOUT_VALUES = ("22", "23")
"""Classes of PostgreSQL's errors: data, and constraints."""
_NAMES = ("table_name", "column_name", "constraint_name")


def hide_values(engine: sa.Engine) -> None:
    """Take the values out of every error that the engine raises from now on."""

    @sa.event.listens_for(engine, "handle_error")
    def hide(context: ExceptionContext) -> None:
        wrapped = context.original_exception
        said = wrapped.__cause__ or wrapped  # the driver's own error, inside SQLAlchemy's of the same name
        told = _told(said)
        for error in (said, wrapped, context.sqlalchemy_exception):
            if error is not None and error.args:
                shown = told
                if isinstance(error, sa.exc.StatementError):
                    shown = f"({type(said).__name__}) {told}"
                error.args = (shown, *error.args[1:])
        for name in ("detail", "hint", "where", "internal_query"):
            if getattr(said, name, None):
                setattr(said, name, None)


def _told(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None) or ""
    if state[:2] in _ABOUT_VALUES:
        names = [getattr(error, name, None) for name in _NAMES]
        return " ".join([type(error).__name__, state, *(name for name in names if name)])
    return str(error).partition("\n")[0]
