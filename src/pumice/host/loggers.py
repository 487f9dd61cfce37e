"""The loggers of this process, ours and the libraries', and what each of them lets through.

They are the standard library's tree, in which a logger without a level of its own has that of the one above it:
ours are under ``pumice``. What a library had set itself is given back by ``restore``.
"""

import logging
import sys

OURS = "pumice"
_before: dict[str, int] = {}
"""The levels that loggers had before they were set."""


def names() -> list[str]:
    """Every logger by its name, also those of ours that have not said anything yet."""
    for name, module in tuple(sys.modules.items()):
        if name.startswith(OURS) and "logger" in vars(module):
            logging.getLogger(name)
    known = tuple(logging.root.manager.loggerDict.items())
    return sorted(name for name, logger in known if isinstance(logger, logging.Logger))


def levels() -> dict[str, str]:
    """The least level that each logger lets through, by its name: ``DEBUG``, ``INFO`` and so on."""
    return {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) for name in names()}


def set_levels(prefix: str, level: str) -> None:
    """Set the level of each logger whose name begins with ``prefix``."""
    for name in names():
        if name.startswith(prefix):
            logger = logging.getLogger(name)
            _before.setdefault(name, logger.level)
            logger.setLevel(level)


def restore() -> None:
    """Give every logger the level that it had before any was set."""
    for name, level in _before.items():
        logging.getLogger(name).setLevel(level)
    _before.clear()
