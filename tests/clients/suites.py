"""The functional suites that ship with the clients, and what they want of a cloud.

Those in Python are in the clients' wheels; Tempest's is a client's too, of what OpenStack calls interoperable.
Gophercloud's are Go, in Debian's package of its sources, and are compiled here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from tests.ceph_cluster import own_cluster
from tests.clients import gophercloud, tempest_conf
from tests.clients.installation import CLIENTS_BIN, Installation
from tests.clients.networks import Networks
from tests.clients.outcome import Outcome
from tests.radosgw import gateway
from tests.s3_server import S3Store

SECONDS_PER_TEST = 240
ALT_USER = "alt_demo"


@dataclass(frozen=True, slots=True)
class Suite:
    """A package of tests, and the client that brings it."""

    client: str
    package: str
    workers: int = 2
    """How many of its files run at a time."""


GOPHERCLOUD = "golang-github-gophercloud-gophercloud-dev"
SUITES = (
    Suite("openstacksdk", "openstack.tests.functional.block_storage.v3"),
    Suite("python-openstackclient", "openstackclient.tests.functional.volume.v3"),
    Suite("python-cinderclient", "cinderclient.tests.functional"),
    *(
        Suite("tempest", f"tempest.api.{part}")
        for part in ("volume", "image.v2", "identity", "compute.volumes")
    ),
    Suite("python-novaclient", "novaclient.tests.functional", workers=1),  # it disables the host of its servers
    Suite(GOPHERCLOUD, "acceptance/openstack/blockstorage/v3"),
    Suite(GOPHERCLOUD, "acceptance/openstack/blockstorage/extensions"),
    Suite(GOPHERCLOUD, "acceptance/openstack/identity/v3"),
    Suite(GOPHERCLOUD, "acceptance/openstack/imageservice/v2"),
    Suite(GOPHERCLOUD, "acceptance/openstack/compute/v2"),
)


@contextmanager
def a_cloud() -> Iterator[tuple[Installation, Path]]:
    """An installation with all that suites look for, and the folder to run them in.

    Ceph's gateway keeps its backups, and is the ``object-store`` of its users; a network goes nowhere.
    """
    pumice = Installation(real=False)
    with (
        own_cluster("suites") as cluster,
        gateway(cluster, keystone=f"{pumice.url}/identity") as store,
        Networks() as networks,
    ):
        pumice.environment.update(settings(store))
        with pumice:
            store.trust(pumice.passwords["admin"])
            yield pumice, furnish(pumice, {"network": networks.url, "object-store": store.swift})


def settings(store: S3Store) -> dict[str, str]:
    """The settings of an installation that has what suites look for: two backends with bytes, and backups."""
    backends = {name: {"driver": "files", "target": "fake"} for name in ("one", "two")}
    return {
        "PUMICE_BACKENDS": json.dumps(backends),
        "PUMICE_DEFAULT_VOLUME_TYPE": "lvmdriver-1",
        **store.environment(store.a_bucket()),
    }


def furnish(pumice: Installation, others: Mapping[str, str]) -> Path:
    """Make the users, the image and the files that the suites look for. Returns the folder to run them in.

    ``others`` are services that are not Pumice's, by their type, and where they are: they go into the catalog.

    The clouds are named as DevStack names them, and lie in the working directory because
    python-openstackclient's suite removes every ``OS_`` variable from the environment of its commands.
    """
    folder = pumice.directory / "suites"
    folder.mkdir()
    clouds = yaml.safe_load(pumice.clouds_file.read_text())["clouds"]
    for one in clouds.values():
        del one["block_storage_default_microversion"]  # suites say themselves which version they speak
    admin, demo, system = (clouds[name] for name in ("pumice", "pumice-demo", "pumice-system"))
    password = pumice.passwords["demo"]
    with pumice.cloud() as cloud:
        project = cloud.identity.create_project(name=ALT_USER, domain_id="default")
        user = cloud.identity.create_user(name=ALT_USER, password=password, domain_id="default")
        cloud.identity.assign_project_role_to_user(project, user, cloud.identity.find_role("member"))
        _upload_image(cloud, folder / "image.qcow2")
        for kind, url in others.items():
            service = cloud.identity.create_service(type=kind, name=kind)
            cloud.identity.create_endpoint(
                service_id=service.id, interface="public", url=url, region_id=admin["region_name"]
            )
    alt = demo | {"auth": demo["auth"] | {"username": ALT_USER, "project_name": ALT_USER}}
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    named = {
        "functional_admin": admin | {"auth": admin["auth"] | domains},
        "devstack": demo,
        "devstack-alt": alt,
        "devstack-admin": admin,
        "devstack-system-admin": system,
    }
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": named}))
    (folder / "functional_creds.conf").write_text(
        f"[admin]\nuser = admin\npass = {pumice.passwords['admin']}\ntenant = admin\n"
        f"[auth]\nuri = {pumice.url}/identity/v3\n"
    )
    tempest_conf.write(pumice, folder)
    return folder


def _upload_image(cloud: Any, path: Path) -> None:
    """An image by the name that the suites look for; nobody looks into it."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "16M"], check=True, timeout=60)
    cloud.create_image("cirros-disk", filename=str(path), disk_format="qcow2", visibility="public", wait=True)


def environment(pumice: Installation, folder: Path) -> Mapping[str, str]:
    """What the suites read from their environment."""
    return {
        **{name: value for name, value in pumice.environment.items() if not name.startswith("PUMICE_")},
        "PATH": f"{CLIENTS_BIN}{os.pathsep}{os.environ['PATH']}",
        "OS_TEST_TIMEOUT": str(SECONDS_PER_TEST),
        "OS_CINDERCLIENT_EXEC_DIR": str(CLIENTS_BIN),
        "OS_NOVACLIENT_EXEC_DIR": str(CLIENTS_BIN),
        "TOX_ENV_DIR": str(CLIENTS_BIN.parent),
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
        "TEMPEST_CONFIG_DIR": str(folder),
        "TEMPEST_CONFIG": tempest_conf.NAME,
    }


def run(suite: Suite, pumice: Installation, folder: Path) -> list[Outcome]:
    """Run a suite. Raises ``RuntimeError`` when it cannot be run at all."""
    if suite.client == GOPHERCLOUD:
        return gophercloud.run(suite.package, pumice, folder)
    report, log = folder / f"{suite.package}.xml", folder / f"{suite.package}.log"
    argv = [
        *(sys.executable, "-m", "pytest", "--pyargs", suite.package, "-c", "/dev/null", "--rootdir", folder),
        *("-q", "-p", "no:cacheprovider", "-n", str(suite.workers), "--dist", "loadscope", "-W", "ignore"),
        *("--timeout", str(SECONDS_PER_TEST), "--junitxml", report),
    ]
    with log.open("wb") as output:
        subprocess.run(
            argv, env=environment(pumice, folder), cwd=folder, stdout=output, stderr=output, check=False
        )
    if not report.exists():
        raise RuntimeError(f"{suite.package} did not run:\n{log.read_text()[-4000:]}")
    return sorted(_outcomes(suite, report), key=lambda outcome: outcome.test)


def _outcomes(suite: Suite, report: Path) -> list[Outcome]:
    outcomes: dict[str, Outcome] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (our own pytest wrote it)
        test = f"{suite.package}.{case.get('classname')}.{case.get('name')}"
        for ended, tags in (("failed", ("failure", "error")), ("skipped", ("skipped",)), ("passed", ("",))):
            said = [found for tag in tags for found in case.findall(tag)] if tags[0] else []
            if said or ended == "passed":
                words = f"{said[0].get('message')}\n{said[0].text}" if said else ""
                # A test whose clean-up fails as well is told twice: it failed.
                if outcomes.get(test, Outcome(test, "passed", "")).ended != "failed":
                    outcomes[test] = Outcome(test, ended, words)
                break
    return list(outcomes.values())
