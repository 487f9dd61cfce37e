"""What a run takes of what costs much: some of each rule's cases, the same for all its workers, all in turn."""

import re
from pathlib import Path

import pytest

from drawn import ALL, ONE_IN, SEED, SHARES, taken

HERE = Path(__file__).parents[1]
TRIALS = [
    f"tests/operations/test_every_verb.py::test_{rule}_on_postgresql[{number}]"
    for rule in ("it_ends", "it_begins")
    for number in range(41)
]
ONE = ["tests/loops/test_a.py::test_one[postgresql]"]
NO_DRAW = ["tests/scheduler/test_a.py::test_two[1]", "tests/scheduler/test_a.py::test_two[2]"]


def drawn(seed: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    every = [*TRIALS, *ONE, *NO_DRAW]
    monkeypatch.setenv(SEED, seed)
    monkeypatch.delenv(ONE_IN, raising=False)
    return taken(every)


def test_one_in_so_many_is_taken_of_each_group_and_of_none_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = drawn("7", monkeypatch)
    assert [sum(rule in name for name in found) for rule in ("it_ends", "it_begins")] == [11, 11]
    assert {*ONE, *NO_DRAW} <= found


def test_a_seed_draws_the_same_again_and_in_the_end_all_have_had_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert drawn("7", monkeypatch) == drawn("7", monkeypatch) != drawn("8", monkeypatch)
    assert set[str]().union(*(drawn(str(seed), monkeypatch) for seed in range(60))) >= {*TRIALS}


def test_a_quick_look_takes_some_of_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SEED, "7")
    monkeypatch.setenv(ONE_IN, "4")
    assert len(taken(TRIALS)) == 6 and len(taken(ONE)) == len(taken(NO_DRAW)) == 1
    assert taken(["tests/chaos/test_chaos.py::test_a", "tests/store/test_b.py::test_c"]) == {
        "tests/store/test_b.py::test_c"
    }


def test_all_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(ALL, monkeypatch) >= {*TRIALS}


@pytest.mark.parametrize("pattern", SHARES)
def test_what_is_drawn_from_is_there(pattern: str) -> None:
    files = [str(path.relative_to(HERE)) for path in HERE.glob("tests/**/test_*.py")]
    file = re.split(r"::|\(\?=::", pattern)[0]
    assert any(re.match(file, name) for name in files), f"no file is {file}"
