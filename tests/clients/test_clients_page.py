"""The page about the clients' suites says what the explanations say: when those change, it is written anew."""

import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
EXPECTED = Path(__file__).with_name("expected.toml")


def test_the_page_tells_each_failure_with_its_explanation_of_today() -> None:
    failed = PAGE.read_text().partition("## Failed, and why")[2].partition("\n## ")[0]
    groups = tomllib.loads(EXPECTED.read_text()).values()
    explained = {(test, group["why"]) for group in groups for test in group["tests"]}
    assert set(re.findall(r"- `(.*?)`: (.*)", failed)) == explained, "run make clients"
