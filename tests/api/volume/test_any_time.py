"""Times at the ends of the calendar, to every list of every service: each is an answer below 500."""

import ast
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from test_long_queries import ask
from volume_cloud import Cloud

import pumice.api
from pumice.api.compute.service import compute_service
from pumice.api.identity.service import identity_service
from pumice.api.image.service import image_service
from pumice.api.times import as_utc
from pumice.images.files import ImageFiles

EARLY, LATE = "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"
"""Beyond the calendar in UTC."""
FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
NAMES = (
    *("created_at", "updated_at", "changes-since", "changes-before"),
    *("password_expires_at", "launched_at", "terminated_at"),
)


def test_a_time_is_in_utc_or_refused() -> None:
    assert (
        as_utc("2026-01-31T12:00:00+02:00") == as_utc("2026-01-31T10:00:00") == as_utc("2026-01-31T10:00:00Z")
    )
    for wrong in (EARLY, LATE, "", "soon"):
        with pytest.raises(ValueError, match=r"isoformat|beyond"):
            as_utc(wrong)


def test_no_other_code_of_the_api_reads_a_time() -> None:
    for path in Path(pumice.api.__file__).parent.rglob("*.py"):
        read = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert path.name == "times.py" or not read & {"fromisoformat", "strptime", "astimezone"}, path


@pytest.mark.parametrize("at", [EARLY, LATE, FIRST, LAST])
async def test_no_time_is_answered_with_a_bug(cloud: Cloud, tmp_path: Any, at: str) -> None:
    ctx = cloud.service.ctx
    services = [
        cloud.service,
        compute_service(ctx),
        identity_service(ctx),
        image_service(ctx, ImageFiles(tmp_path / "images")),
    ]
    refused = set()
    for service in services:
        for route in service.table.routes:
            if route.method != "GET" or route.rule is None or route.path.endswith("}"):
                continue
            who = "system admin" if service.name == "identity" else "admin"
            path = service.prefix + re.sub(r"\{\w+\}", "x", route.path)
            for name in NAMES:
                for operator in ("", "gt:", "neq:"):
                    status = await ask(service, path, f"{name}={quote(operator + at)}", who)
                    assert status < 500, (path, name, operator)
                    if status == 400:
                        refused.add((service.name, name))
    beyond = {
        ("volume", "created_at"), ("compute", "changes-since"), ("image", "updated_at"),
        ("identity", "password_expires_at"),
    }  # fmt: skip
    assert at not in (EARLY, LATE) or beyond <= refused
