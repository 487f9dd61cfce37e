"""Where a disk that loses its power is cut."""

from losing_disk import FLUSH, FUA, MARK, Write, cuts


def entries(*flags: int) -> list[Write]:
    """Those of a log: a flush and a mark carry no bytes."""
    return [Write(0, 0 if it & (FLUSH | MARK) else 8, it, number) for number, it in enumerate(flags)]


def test_a_cut_is_behind_the_mark_and_between_a_write_and_the_flush_that_would_have_kept_it() -> None:
    log = entries(0, FLUSH, MARK, 0, FUA, FLUSH, FUA, 0, 0, FLUSH)
    assert list(cuts(log)) == [(2, 4), (2, 5), (6, 8), (6, 9)]


def test_where_all_is_kept_there_is_no_cut() -> None:
    assert list(cuts(entries(0, FLUSH, MARK, FUA, FLUSH, FUA))) == []
    assert list(cuts(entries(0, FLUSH, 0, FLUSH))) == []
