"""When Python looks for garbage: seldom while modules are imported, and then never at what was imported.

Importing makes 200,000 objects and next to no garbage: looking for it meanwhile is a fifth of the start, and
later each look at everything stops the event loop for a tenth of a second.
"""

import gc

_USUAL = gc.get_threshold()
_IMPORTING = 50_000, 1_000, 1_000
"""New objects before the first look; such looks before the second, and second ones before the third."""


def imports_begin() -> None:
    """Look seldom from now on."""
    gc.set_threshold(*_IMPORTING)


def imports_end() -> None:
    """Look as usual from now on, and at nothing that is there already.

    Processes that are forked share it for good: looking would write its marks, and so copy each page.
    """
    gc.freeze()
    gc.set_threshold(*_USUAL)
