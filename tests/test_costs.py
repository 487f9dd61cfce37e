"""What tests cost decides who does what, and is on the page on testing."""

from kernel_lane import SHARED

from costs import BEGIN, END, PAGE, PARTS, Cost, dearest, recorded, table, unit


def test_the_page_shows_what_is_recorded() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == table(recorded())


def test_the_waiting_worker_takes_what_waits_and_the_others_what_computes() -> None:
    costs = {"guest.py": Cost(1, wall=100, cpu=10), "sums.py": Cost(1, wall=60, cpu=60)}
    units = dict.fromkeys(costs, 1)
    assert dearest(units, costs, waiting=True) == "guest.py"
    assert dearest(units, costs, waiting=False) == "sums.py"


def test_a_file_is_worth_what_is_to_be_done_of_it() -> None:
    costs = {"many.py": Cost(100, wall=90, cpu=90), "few.py": Cost(2, wall=60, cpu=60)}
    assert dearest({"many.py": 10, "few.py": 1}, costs, waiting=False) == "few.py"
    assert dearest({"many.py": 100, "few.py": 1}, costs, waiting=False) == "many.py"


def test_a_file_that_nobody_has_measured_comes_first() -> None:
    assert dearest({"old.py": 1, "new.py": 1}, {"old.py": Cost(1, 9, 9)}, waiting=False) == "new.py"


def test_one_guest_of_the_kernel_lane_runs_at_a_time_as_long_as_there_is_other_work() -> None:
    lane, other = "tests/kernel/test_a.py", "tests/store/test_b.py"
    assert dearest({lane: 1, other: 1}, {}, waiting=False, under_way=["tests/kernel/test_c.py"]) == other
    assert dearest({lane: 1}, {}, waiting=False, under_way=["tests/kernel/test_c.py"]) == lane


def test_what_shares_a_guest_is_one_unit_whatever_its_file() -> None:
    shared = ["tests/kernel/test_lvm_backend.py::test_one", "tests/conformance/test_targets.py::test_two[lio]"]
    assert {unit(nodeid) for nodeid in shared} == {SHARED}
    assert unit("tests/conformance/test_targets.py::test_two[tgt]") == "tests/conformance/test_targets.py"


def test_a_long_file_is_several_units_and_any_other_is_one() -> None:
    for file, parts in PARTS.items():
        assert len({unit(f"{file}::test[{number}]") for number in range(1000)}) == parts
    assert {unit(f"tests/a.py::test[{number}]") for number in range(9)} == {"tests/a.py"}
