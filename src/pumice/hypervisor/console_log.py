"""What a guest wrote to its serial port, as QEMU appends it to a file.

A guest may write for ever, so the file is cut whenever it is read and has grown past a limit. QEMU opens it
for appending and goes on at the new end; a line written in the very moment of the cut may be lost.
"""

from pathlib import Path

from pumice.model.units import MIB

KEPT_BYTES = MIB
"""The most that is ever given out."""

_CUT_AT_BYTES = 4 * MIB


def tail(log: Path, lines: int | None) -> str:
    """The last ``lines`` lines, or all that is kept; nothing when nothing was written yet."""
    try:
        with log.open("r+b") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - KEPT_BYTES))
            end = file.read(KEPT_BYTES)
            if size > _CUT_AT_BYTES:
                file.seek(0)
                file.truncate()
                file.write(end)
    except FileNotFoundError:
        return ""
    text = end.decode(errors="replace").replace("\r\n", "\n")
    if lines is None:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""
