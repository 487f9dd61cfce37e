"""A loop asks about what changed, about what was wrong, and in sixteen looks about everything."""

from pumice.loops.glance import MOST, Glance, Glances, Outside
from pumice.model.ids import new_id
from pumice.store.part import DIGITS

NOTHING: Outside = frozenset()


def seen(there: Outside, wrong: frozenset[str] = frozenset()) -> Glance:
    glance = Glance()
    glance.has_seen(there, wrong)
    return glance


def test_the_first_look_is_at_everything() -> None:
    assert Glances().at("here@one").part(NOTHING) is None


def test_sixteen_looks_are_at_everything() -> None:
    ids, glance = {new_id() for _ in range(500)}, seen(NOTHING)
    for _ in DIGITS:
        part = glance.part(NOTHING)
        assert part is not None
        assert part.ids == frozenset()
        ids = {known for known in ids if known not in part}
        glance.has_seen(NOTHING, ())
    assert not ids


def test_what_came_or_went_is_looked_at_and_what_stayed_is_not() -> None:
    there = frozenset({("went", "a"), ("stayed", "b")})
    part = seen(there).part(frozenset({("stayed", "b"), ("came", "c")}))
    assert part is not None
    assert part.ids == {"went", "came"}


def test_what_was_wrong_is_looked_at_until_it_is_not() -> None:
    glance = seen(NOTHING, frozenset({"wrong"}))
    part = glance.part(NOTHING)
    assert part is not None
    assert "wrong" in part
    glance.has_seen(NOTHING, ())
    part = glance.part(NOTHING)
    assert part is not None
    assert "wrong" not in part


def test_where_much_has_changed_or_the_setting_all_is_looked_at() -> None:
    assert seen(NOTHING).part(frozenset((new_id(), "") for _ in range(MOST + 1))) is None
    assert seen(NOTHING).part(NOTHING, ("192.0.2.9:3260",)) is None


def test_each_place_has_looks_of_its_own() -> None:
    glances = Glances()
    glances.at("here@one").has_seen(NOTHING, ())
    assert glances.at("here@one").part(NOTHING) is not None
    assert glances.at("here@two").part(NOTHING) is None
