"""What a caller is told of a body that is not what it should be: JSON's own words, none of Python's."""

from typing import Any

import pytest
from pydantic import BaseModel

from pumice.api.call import check
from pumice.model.errors import Invalid


class Inner(BaseModel):
    size: int


class Body(BaseModel):
    inner: Inner
    names: dict[str, str] = {}


@pytest.mark.parametrize("body", [[], 1, None, "text", {"inner": []}, {"inner": {"size": 1}, "names": []}])
def test_what_is_no_object_is_told_so(body: Any) -> None:
    with pytest.raises(Invalid, match="It must be a JSON object") as refused:
        check(Body, body)
    assert "instance" not in str(refused.value) and "dictionary" not in str(refused.value)
