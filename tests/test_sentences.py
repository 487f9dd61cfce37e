"""Docstrings stand alone: none continues the one before it, or begins with a word for what it has not named."""

import re
from pathlib import Path

import pumice

CONTINUES = re.compile(
    r'^ *r?"""(?:The same|Those|It|Its|And|Of|So|Both|None there|One word|Nothing more|There (?:is|are)'
    r"|They|Them|Then|Also|Likewise|The others?(?=[.,]))\b.*",
    re.MULTILINE,
)


def test_each_docstring_says_what_it_is_about() -> None:
    here = Path(pumice.__file__).parent
    found = [
        f"{file.relative_to(here)}: {begun}"
        for file in sorted(here.rglob("*.py"))
        for begun in CONTINUES.findall(file.read_text())
    ]
    assert not found, "say what each is about"
