"""The log of a guest's serial port."""

from pathlib import Path

from pumice.hypervisor import console_log


def test_nothing_written_yet_is_the_empty_text(tmp_path: Path) -> None:
    assert console_log.tail(tmp_path / "none.log", None) == ""


def test_the_last_lines_come_with_plain_line_ends(tmp_path: Path) -> None:
    log = tmp_path / "guest.log"
    log.write_bytes(b"one\r\ntwo\r\nthree\xff")
    assert console_log.tail(log, 2) == "two\nthree�"
    assert console_log.tail(log, 99) == console_log.tail(log, None) == "one\ntwo\nthree�"
    assert console_log.tail(log, 0) == ""


def test_a_guest_that_never_stops_writing_does_not_fill_the_disk(tmp_path: Path) -> None:
    log = tmp_path / "guest.log"
    log.write_bytes(b"x" * 8 * console_log.KEPT_BYTES + b"\nthe end\n")
    with log.open("ab") as qemu:
        assert console_log.tail(log, 1) == "the end\n"
        assert log.stat().st_size == console_log.KEPT_BYTES
        qemu.write(b"and on\n")
    assert console_log.tail(log, 2) == "the end\nand on\n"
