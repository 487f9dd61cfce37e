"""When a schedule is due and what is kept of what it made: pure functions, for any times in any zone."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.model.recurrence import local, next_after, normalized
from pumice.model.retention import Keep, kept

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
CRONS = ("30 2 * * *", "*/20 * * * *", "0 0 29 2 *", "15 3 * * 0", "0 12 1 * *", "*/7 1-3 * 3,10,11 *")
times = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31))
some_times = st.lists(times, min_size=1, max_size=60)
counts = st.integers(0, 6)
keeps = st.builds(Keep, counts, counts, counts, counts)


def named(at: list[datetime]) -> dict[str, datetime]:
    return {f"{number:03}": moment for number, moment in enumerate(sorted(at))}


@given(some_times, keeps, st.sampled_from(ZONES))
def test_what_is_kept_is_the_last_of_each_period_and_always_the_newest(
    at: list[datetime], keep: Keep, zone: str
) -> None:
    made = named(at)
    found = kept(made, keep, zone)
    assert max(made) in found
    assert keep.is_everything or len(found) <= max(keep.last, 1) + keep.daily + keep.weekly + keep.monthly
    assert kept({key: made[key] for key in found}, keep, zone) == found
    if not keep.is_everything:
        days = sorted({local(moment, zone).date() for moment in made.values()}, reverse=True)
        for day in days[: keep.daily]:
            assert max(key for key in made if local(made[key], zone).date() == day) in found


@given(some_times, keeps, st.sampled_from(ZONES))
def test_whoever_prunes_each_time_keeps_what_is_kept_by_who_prunes_once(
    at: list[datetime], keep: Keep, zone: str
) -> None:
    made, left = named(at), dict[str, datetime]()
    for key, moment in made.items():
        left[key] = moment
        left = {one: left[one] for one in kept(left, keep, zone)}
    assert left.keys() == kept(made, keep, zone)


@given(some_times, keeps, st.sampled_from(ZONES))
def test_a_rule_that_keeps_more_keeps_no_less(at: list[datetime], keep: Keep, zone: str) -> None:
    if keep.is_everything:
        return
    more = Keep(keep.last + 1, keep.daily + 1, keep.weekly + 1, keep.monthly + 1)
    assert kept(named(at), keep, zone) <= kept(named(at), more, zone)


@settings(deadline=None)
@given(times, st.sampled_from(CRONS), st.sampled_from(ZONES))
def test_the_next_time_comes_later_and_is_the_same_from_whatever_moment_before_it(
    at: datetime, cron: str, zone: str
) -> None:
    first = next_after(cron, zone, at)
    assert first is not None
    assert first > at
    assert next_after(cron, zone, at + (first - at) / 2) == first
    second = next_after(cron, zone, first)
    assert second is not None
    assert second > first


def all_of(cron: str, zone: str, day: datetime, days: int = 1) -> list[datetime]:
    """The times of some days, as the zone's clocks show them."""
    begin, end = (
        it.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
        for it in (day, day + timedelta(days=days))
    )
    found, at = list[datetime](), begin - timedelta(seconds=1)
    while (at := next_after(cron, zone, at) or datetime.max) < end:
        found.append(local(at, zone))
    return found


@pytest.mark.parametrize(
    ("zone", "skips", "repeats"),
    [
        ("Europe/Berlin", datetime(2026, 3, 29), datetime(2026, 10, 25)),
        ("America/New_York", datetime(2026, 3, 8), datetime(2026, 11, 1)),
        ("Australia/Lord_Howe", datetime(2026, 10, 4), datetime(2026, 4, 5)),
        ("America/Santiago", datetime(2026, 9, 6), datetime(2026, 4, 4)),
        ("UTC", datetime(2026, 3, 29), datetime(2026, 10, 25)),
    ],
)
def test_what_is_daily_comes_once_on_days_whose_clocks_are_changed(
    zone: str, skips: datetime, repeats: datetime
) -> None:
    for cron in ("30 2 * * *", "30 0 * * *", "45 1 * * *", "30 23 * * *", "0 3 * * *"):
        for day in (skips, repeats):
            days = [it.date() for it in all_of(cron, zone, day - timedelta(days=2), 5)]
            assert all(one < other for one, other in pairwise(days)), (cron, days)
            assert len(days) == 5, (cron, days)


def test_an_hour_that_comes_twice_has_its_times_twice_for_what_is_hourly_alone() -> None:
    assert [f"{it:%H:%M%z}" for it in all_of("30 * * * *", "Europe/Berlin", datetime(2026, 10, 25))][1:4] == [
        "01:30+0200",
        "02:30+0200",
        "02:30+0100",
    ]
    assert [f"{it:%H:%M%z}" for it in all_of("30 2 * * *", "Europe/Berlin", datetime(2026, 10, 25))] == [
        "02:30+0200"
    ]
    assert [f"{it:%H:%M%z}" for it in all_of("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 29))] == [
        "03:00+0200"
    ]


def test_the_29th_of_february_comes_in_leap_years() -> None:
    assert next_after("0 0 29 2 *", "UTC", datetime(2025, 1, 1)) == datetime(2028, 2, 29)
    assert normalized(" 0  0 29   2 * ") == "0 0 29 2 *"
