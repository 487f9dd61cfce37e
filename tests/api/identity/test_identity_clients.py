"""The unmodified openstacksdk against a listening server, let in by the clouds.yaml we write."""

import asyncio
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
import uvicorn
from identity_cloud import PASSWORDS
from openstack.connection import Connection

from pumice.api.context import ApiContext
from pumice.api.identity.service import identity_service
from pumice.identity.bootstrap import bootstrap
from pumice.identity.clouds import clouds_yaml, write_passwords
from pumice.identity.tokens import LocalTokens
from pumice.model.tunables import Tunables
from pumice.operations.completions import Completions
from pumice.store import tables
from pumice.store.sqlite import SqliteDatabase

pytestmark = pytest.mark.filterwarnings("ignore")  # what the clients warn about is not ours


@pytest.fixture
def clouds(tmp_path: Path, first_hashes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running server and the file with the way in."""
    db = SqliteDatabase(tmp_path / "pumice.db")
    db.write_now(lambda tx: tables.metadata.create_all(tx.connection))
    db.write_now(bootstrap, first_hashes)
    service = identity_service(ApiContext(db, Completions(db), LocalTokens(db), Tunables()))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(service, lifespan="off", log_config=None, interface="asgi3"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    path = tmp_path / "etc" / "clouds.yaml"
    write_passwords(path, clouds_yaml(f"http://127.0.0.1:{port}/identity", PASSWORDS))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    yield path
    server.should_exit = True
    thread.join(10)
    listener.close()
    db.close_now()


def connect(cloud: str) -> Connection:
    return openstack.connect(cloud)


def test_only_their_owner_reads_the_passwords(clouds: Path) -> None:
    assert stat.S_IMODE(clouds.stat().st_mode) == 0o600
    assert [file.name for file in clouds.parent.iterdir()] == ["clouds.yaml"]


def test_openstacksdk_logs_in_and_manages_users_projects_and_roles(clouds: Path) -> None:
    with connect("pumice") as admin:
        assert admin.authorize()
        assert {one.name for one in admin.identity.projects()} == {"admin", "demo", "service"}
        project = admin.identity.create_project(name="lab", description="a lab")
        user = admin.identity.create_user(name="ada", password="secret-1", default_project_id=project.id)
        role = admin.identity.find_role("member")
        admin.identity.assign_project_role_to_user(project, user, role)
        assert admin.identity.validate_user_has_project_role(project, user, role)
        assert [one.id for one in admin.identity.user_projects(user)] == [project.id]
        assignments = admin.identity.role_assignments(user_id=user.id)
        assert [one.scope["project"]["id"] for one in assignments] == [project.id]
        with admin.connect_as(username="ada", password="secret-1", project_id=project.id) as ada:
            assert ada.current_user_id == user.id
            with pytest.raises(openstack.exceptions.ForbiddenException):
                list(ada.identity.users())
        assert len(list(admin.identity.users(limit=2))) == 4, "pages are followed to their end"
        admin.identity.update_user(user, description="changed")
        admin.identity.delete_user(user)
        admin.identity.delete_project(project)
        assert admin.identity.find_user("ada") is None


@pytest.mark.parametrize("cloud", ["pumice", "pumice-demo"])
def test_clients_find_every_service_by_its_official_type_and_its_aliases(clouds: Path, cloud: str) -> None:
    with connect(cloud) as connection:
        session, project = connection.session, connection.current_project_id
        where = session.get_endpoint(service_type="identity").partition("/identity")[0]
        for types, path in (
            (("block-storage", "block-store", "volume"), ("/volume/v3", f"/volume/v3/{project}")),
            (("volumev3",), (f"/volume/v3/{project}",)),
            (("compute",), ("/compute/v2.1",)),
            (("image",), ("/image",)),
            (("identity",), ("/identity",)),
        ):
            for service_type in types:
                found = session.get_endpoint(
                    service_type=service_type, interface="public", region_name="RegionOne"
                )
                assert found in [where + one for one in path], service_type


def test_the_system_cloud_rules_without_a_project(clouds: Path) -> None:
    with connect("pumice-system") as system:
        assert system.current_project_id is None
        assert {one.name for one in system.identity.users()} == {"admin", "demo", "pumice"}
