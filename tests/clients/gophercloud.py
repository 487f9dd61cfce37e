"""Gophercloud's acceptance tests: Go, from Debian's package of its sources, compiled on the spot."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.clients.installation import Installation
from tests.clients.outcome import Outcome

ROOT = "github.com/gophercloud/gophercloud"
SECONDS = 600
_END = re.compile(r"^--- (PASS|FAIL|SKIP): (\w+) ")
_ENDED = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


def run(package: str, pumice: Installation, folder: Path) -> list[Outcome]:
    """Compile a package's tests and run them, one after another."""
    binary = folder / f"{package.replace('/', '-')}.test"
    sources = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "gocache")}
    compiling: list[str | Path] = ["go", "test", "-c", "-tags", "fixtures acceptance", "-o", binary]
    compiling.append(f"{ROOT}/{package}")
    subprocess.run(compiling, env={**os.environ, **sources}, cwd=folder, check=True, timeout=SECONDS)
    ran = subprocess.run(
        [binary, "-test.v", f"-test.timeout={SECONDS}s"],
        env=environment(pumice),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(_outcomes(package, ran.stdout), key=lambda outcome: outcome.test)


def environment(pumice: Installation) -> Mapping[str, str]:
    """What they read from their environment: the administrator, an image, two flavors, names of networks."""
    with pumice.cloud() as cloud:
        image = next(iter(cloud.image.images())).id
        small, large, *_ = sorted(cloud.compute.flavors(), key=lambda flavor: flavor.ram)
    return {
        **os.environ,
        "OS_AUTH_URL": f"{pumice.url}/identity/v3",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": pumice.passwords["admin"],
        "OS_PROJECT_NAME": "admin",
        "OS_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": "RegionOne",
        "OS_IMAGE_ID": image,
        "OS_FLAVOR_ID": small.id,
        "OS_FLAVOR_ID_RESIZE": large.id,
        "OS_NETWORK_NAME": "nowhere",
        "OS_POOL_NAME": "none",
        "OS_EXTGW_ID": "none",
        "OS_SHARE_NETWORK_ID": "none",
    }


def _outcomes(package: str, output: str) -> Iterator[Outcome]:
    said: list[str] = []
    for line in output.splitlines():
        if line.startswith("=== RUN"):
            said = []
        elif match := _END.match(line):
            yield Outcome(f"{package}.{match[2]}", _ENDED[match[1]], "\n".join(said[-5:]) or "It says nothing.")
        else:
            said.append(line.strip())
