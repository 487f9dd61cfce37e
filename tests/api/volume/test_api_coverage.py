"""What of Cinder's API is answered is told by a page, and the page is true."""

from pathlib import Path

from api_coverage import ELSEWHERE, PAGE, README, answered, claim, page, readme, surface


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "write it: .venv/bin/python tests/api/volume/api_coverage.py"


def test_the_readme_claims_what_the_page_says() -> None:
    assert claim() in README.read_text()
    assert README.read_text() == readme()


def test_all_of_cinders_routes_and_actions_are_counted() -> None:
    every = list(surface())
    assert len({asked.key for asked in every}) == len(every)
    assert (sum(not asked.action for asked in every), sum(bool(asked.action) for asked in every)) == (174, 49)


def test_what_is_there_is_there_since_cinders_version() -> None:
    routes = answered()
    later = {
        " ".join((asked.method, asked.path, asked.action or "")): routes[asked.key].since
        for asked in surface()
        if asked.key in routes and not asked.path.endswith("/action") and routes[asked.key].since > asked.since
    }
    assert later == {}


def test_every_test_that_is_named_is_there() -> None:
    here = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert set(ELSEWHERE.values()) <= here
