"""The wheel alone, in a clean Debian without this repository, by the book (docs/operating.md): ``make wheel``.

Installed, started by systemd, four stories told by the command ``openstack``, upgraded from the version before,
reloaded, hung, stopped and removed; and units of each role on PostgreSQL, behind nginx, logging to a file.

pip finds what it needs in a directory of wheels, as the machine has no network. The stories boot a real guest.
"""

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests import version_before
from tests.wheel import clean_root
from tests.wheel.clean_root import CleanRoot

from pumice.app.guest_image import build_guest_image
from pumice.app.tour.run import cache_dir

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "operating.md").read_text()
SECURITY = (ROOT / "docs" / "operating" / "security.md").read_text()
TOOLS = ("procps", "iproute2", "ca-certificates", "curl")
"""What the test itself looks with."""
NOISE = re.compile(
    r"^\./(proc|sys|dev|run|tmp|var/tmp|var/log/(?!pumice)|var/cache|var/lib/(systemd|dpkg|private|libvirt)|root)/"
)
"""Where the system writes by itself, Debian's own libvirtd too, which starts at boot."""
BYTECODE = re.compile(r"/__pycache__(/|$)")

pytestmark = [
    pytest.mark.long,
    pytest.mark.real,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(clean_root.why_not()), reason=str(clean_root.why_not())),
    pytest.mark.skipif(bool(version_before.why_not()), reason=version_before.why_not()),
]


def block(page: str, first: str) -> str:
    """The indented block of a page whose first line begins so."""
    return textwrap.dedent(re.split(r"\n\n(?!    )", page[page.index(f"    {first}") :])[0])


def manual(first: str) -> list[str]:
    """The commands of a block of docs/operating.md, without their remarks."""
    return [line.partition("  #")[0].strip() for line in block(MANUAL, first).splitlines()]


INSTALLATION = manual("apt-get install")
WITH_THE_EXTRA = manual("apt-get install gcc")
"""What is done instead where Debian's own binding of libvirt is not seen."""
[LIBVIRT] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["libvirt"]
PACKAGES = [word for line in INSTALLATION if line.startswith("apt-get") for word in line.split()[2:]]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel and the command ``openstack`` need, as locked; and the image of a guest."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--require-hashes", "-w", folder]
    subprocess.run([*pip, "-r", ROOT / "requirements" / "run.txt"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, LIBVIRT], check=True)
    asyncio.run(build_guest_image(folder / "guest.qcow2", cache_dir()))
    return folder


class Machine(CleanRoot):
    """A clean Debian on which Pumice is installed by the book, out of two directories of wheels."""

    def __init__(self, wheels: Path, releases: Path, *packages: str) -> None:
        super().__init__([*PACKAGES, *TOOLS, *packages], binds=[wheels, releases])
        self.pip = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"{wheels} {releases}",
            "PIP_ROOT_USER_ACTION": "ignore",
        }
        self.image = wheels / "guest.qcow2"
        self.releases = releases

    def follow(self, commands: list[str]) -> None:
        """Do what the manual says; the packages of Debian are there."""
        for command in commands:
            if not command.startswith("apt-get"):
                self.run(command, env=self.pip)

    def serves(self) -> None:
        self.wait(
            lambda: self.run("curl -s localhost:8776/healthcheck", ok=False).strip() == "OK",
            "it does not serve",
        )

    def install_client(self) -> None:
        self.run(
            "python3 -m venv /opt/client; /opt/client/bin/pip install -q python-openstackclient", env=self.pip
        )

    def openstack(self, words: str) -> Any:
        """What the command answers, read from its JSON where it gives any."""
        environment = {"OS_CLIENT_CONFIG_FILE": "/var/lib/pumice/clouds.yaml", "OS_CLOUD": "pumice"}
        said = self.run(f"/opt/client/bin/openstack {words}", env=environment)
        return json.loads(said) if "-f json" in words else said

    def becomes(self, kind: str, name: str, status: str) -> None:
        def reached() -> bool:
            found = self.openstack(f"{kind} show {name} -f json")
            assert found["status"].lower() != "error", self.run(
                f"/opt/pumice/bin/pumice why {found['id']}", ok=False
            )
            return bool(found["status"] == status)

        self.wait(reached, f"{kind} {name} does not become {status}")

    def is_gone(self, kind: str, name: str) -> bool:
        return name not in [it["Name"] for it in self.openstack(f"{kind} list -f json")]

    def says(self, words: str) -> None:
        """Until the guest says so on its console."""
        self.wait(lambda: words in self.openstack("console log show one"), f"the guest does not say {words}")

    def is_up(self) -> bool:
        return {it["State"] for it in self.openstack("volume service list -f json")} == {"up"}

    def version(self) -> str:
        return self.run("/opt/pumice/bin/pip show pumice").splitlines()[1].removeprefix("Version: ")

    def main_pid(self, unit: str = "pumice") -> int:
        return int(self.run(f"systemctl show -p MainPID --value {unit}"))

    def files(self) -> set[str]:
        """Every path but those that a system makes by itself, and the wheels that it was lent."""
        found = self.run(f"cd /; find . -xdev -not -path '.{self.releases}/*'", seconds=120).splitlines()
        return {path for path in found if not NOISE.match(f"{path}/") and not BYTECODE.search(path)}

    def accounts(self) -> str:
        return self.run("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")

    def units(self) -> set[str]:
        listed = self.run("systemctl list-unit-files --no-legend 'pumice*'", ok=False)  # 1 where there is none
        return set(re.findall(r"^\S+", listed, re.MULTILINE))

    def who_runs(self) -> list[str]:
        """Processes that are Pumice's, or were started by it."""
        words = ("/opt/pumice", "/var/lib/pumice", "tgtd -f -t", "qemu-system")
        return [line for line in self.processes() if any(word in line for word in words)]


def test_installed_told_four_stories_upgraded_and_removed_with_nothing_left(
    wheels: Path, tmp_path: Path
) -> None:
    version_before.wheel(tmp_path)
    with Machine(wheels, tmp_path) as machine:
        before, accounts = machine.files(), machine.accounts()
        machine.follow(INSTALLATION)
        assert machine.version() == "0.0.1"
        machine.serves()
        machine.install_client()
        tell_two_stories(machine)
        upgrade(machine)
        tell_two_more(machine)
        reload(machine)
        hang(machine)
        machine.follow(manual("/opt/pumice/bin/pumice service remove"))
        machine.run("rm -r /opt/client")
        assert machine.who_runs() == []
        assert machine.units() == set()
        assert machine.accounts() == accounts
        assert sorted(machine.files() - before) == []


def tell_two_stories(machine: Machine) -> None:
    """A bootable volume of an image, and a server that boots from it."""
    machine.openstack(f"image create guest --disk-format qcow2 --file {machine.image}")
    machine.openstack("volume create --image guest --size 1 root")
    machine.becomes("volume", "root", "available")
    machine.openstack("server create --volume root --flavor m1.tiny --no-network one")
    machine.becomes("server", "one", "ACTIVE")
    machine.says("PUMICE-GUEST ready")


def upgrade(machine: Machine) -> None:
    """To this version, by the book. The guest runs on, and its volume is there."""
    guest = [line for line in machine.who_runs() if "qemu-system" in line]
    version_before.build_wheel(ROOT, machine.releases)
    machine.follow(manual("/opt/pumice/bin/pip install --upgrade"))
    assert machine.version() != "0.0.1"
    machine.serves()
    assert [line for line in machine.who_runs() if "qemu-system" in line] == guest != []
    assert machine.openstack("volume show root -f json")["status"] == "in-use"


def tell_two_more(machine: Machine) -> None:
    """A volume is attached while the server runs; then detached, and all is deleted."""
    machine.openstack("volume create --size 1 data")
    machine.becomes("volume", "data", "available")
    machine.openstack("server add volume one data")
    machine.becomes("volume", "data", "in-use")
    machine.says("PUMICE-GUEST wrote vdb")
    machine.openstack("server remove volume one data")
    machine.becomes("volume", "data", "available")
    machine.openstack("server delete one")
    machine.wait(lambda: machine.is_gone("server", "one"), "the server is not deleted")
    machine.openstack("volume delete root data")
    for name in ("root", "data"):
        machine.wait(lambda name=name: machine.is_gone("volume", name), f"volume {name} is not deleted")
    machine.openstack("image delete guest")
    machine.run("/opt/pumice/bin/pumice audit")


def reload(machine: Machine) -> None:
    """SIGHUP by systemd reads the settings anew; the process stays."""
    pid = machine.main_pid()
    machine.run("echo 'log_level = \"debug\"' >/etc/pumice/pumice.toml; systemctl reload pumice")
    read = "journalctl -u pumice -o cat | grep settings.read"
    machine.wait(lambda: "log_level" in machine.run(read, ok=False), "it does not reload")
    assert machine.main_pid() == pid


def hang(machine: Machine) -> None:
    """A process whose loop does not come round is killed and started again."""
    pid = machine.main_pid()
    machine.run(f"kill -STOP {pid}")
    machine.wait(lambda: machine.main_pid() not in {0, pid}, "systemd does not restart what hangs")
    machine.serves()
    assert "Watchdog timeout" in machine.run("journalctl -u pumice -o cat")


ROLES = ("pumice-api", "pumice-scheduler", "pumice-volume", "pumice-compute")
LOG = "/var/log/pumice/pumice.log"
SETTINGS = f"""\
log_file = "{LOG}"
[api]
public_url = "https://cloud.example"
cacert = "/etc/nginx/cloud.pem"
"""


def test_a_unit_for_each_role_on_postgresql_behind_nginx_with_logs_of_its_own(
    wheels: Path, tmp_path: Path
) -> None:
    version_before.build_wheel(ROOT, tmp_path)
    with Machine(wheels, tmp_path, "postgresql", "nginx-light", "logrotate", "openssl") as machine:
        *_, install_service, _ = INSTALLATION
        machine.follow([*WITH_THE_EXTRA, install_service])
        assert machine.run("/opt/pumice/bin/python -c 'import libvirt; print(libvirt.__file__)'").startswith(
            "/opt/"
        )
        make_database(machine)
        put_nginx_in_front(machine)
        (machine.root / "etc/pumice/pumice.toml").write_text(SETTINGS)
        machine.run("chown root:pumice /etc/pumice/*; chmod 640 /etc/pumice/*")
        machine.run(f"systemctl enable --now {' '.join(ROLES)}")
        machine.install_client()
        machine.serves()
        tell_two_stories(machine)
        assert "https://cloud.example" in machine.openstack("catalog list")
        rotate(machine)
        tell_two_more(machine)
        change_the_database_password(machine)
        restart_what_hangs(machine)
        restart_what_is_killed(machine)
        machine.run(f"systemctl stop {' '.join(ROLES)}")
        assert [line for line in machine.who_runs() if "/opt/pumice" in line] == []
        machine.follow(manual("/opt/pumice/bin/pumice service remove"))
        assert machine.who_runs() == []
        assert machine.units() == set()


def make_database(machine: Machine) -> None:
    port = machine.run("pg_lsclusters -h").split()[2]  # what was free on the machine that made the root
    for command in manual("runuser -u postgres"):
        machine.run(command.replace(":5432/", f":{port}/"))


def put_nginx_in_front(machine: Machine) -> None:
    """As docs/operating/security.md says, with a certificate that vouches for itself."""
    (machine.root / "etc/nginx/conf.d/pumice.conf").write_text(block(SECURITY, "server {"))
    machine.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=cloud.example "
        "-addext subjectAltName=DNS:cloud.example -keyout /etc/nginx/cloud.key -out /etc/nginx/cloud.pem"
    )
    machine.run("chmod 644 /etc/nginx/cloud.pem; echo 127.0.0.1 cloud.example >>/etc/hosts; nginx -t")
    machine.run("systemctl restart nginx")


def rotate(machine: Machine) -> None:
    """By logrotate, as the page says: every unit goes on in the new file."""
    (machine.root / "etc/logrotate.d/pumice").write_text(block(MANUAL, "/var/log/pumice/*.log {"))
    before = {unit: machine.main_pid(unit) for unit in ROLES}
    machine.run("logrotate --force /etc/logrotate.d/pumice")
    rotated = machine.run(f"cat {LOG}.1")
    for said in ("serving", "place.opened", "POST"):
        assert said in rotated
    for unit in ROLES:
        holds = f"ls -l /proc/{machine.main_pid(unit)}/fd | grep -c {LOG}$"
        machine.wait(
            lambda holds=holds: machine.run(holds, ok=False).strip() == "1", f"{unit} stays in the old file"
        )
    assert {unit: machine.main_pid(unit) for unit in ROLES} == before


def change_the_database_password(machine: Machine) -> None:
    """As docs/operating/secrets.md says, one unit after the other."""
    machine.run("""runuser -u postgres -- psql -q -c "ALTER ROLE pumice PASSWORD 'other'" """)
    machine.run("sed -i s/:secret@/:other@/ /etc/pumice/environment")
    for unit in ROLES:
        machine.run(f"systemctl restart {unit}")
    machine.serves()
    machine.openstack("volume list")


def restart_what_hangs(machine: Machine) -> None:
    before = {unit: machine.main_pid(unit) for unit in ROLES}
    machine.run(f"kill -STOP {' '.join(map(str, before.values()))}")
    for unit, pid in before.items():
        machine.wait(
            lambda unit=unit, pid=pid: machine.main_pid(unit) not in {0, pid},
            f"systemd does not restart {unit}",
        )
    machine.serves()
    machine.wait(machine.is_up, "its services do not come up")


def restart_what_is_killed(machine: Machine) -> None:
    """What the volume host had begun goes on in the next process."""
    pid = machine.main_pid("pumice-volume")
    machine.run(f"kill -KILL {pid}")
    machine.openstack("volume create --size 1 amid")
    machine.becomes("volume", "amid", "available")
    assert machine.main_pid("pumice-volume") not in {0, pid}
    machine.openstack("volume delete amid")
    machine.wait(lambda: machine.is_gone("volume", "amid"), "the volume is not deleted")
