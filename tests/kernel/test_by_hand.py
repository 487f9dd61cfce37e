"""``docs/by-hand.md`` can be typed as it stands: every ``sh`` block of it runs here, one after another."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "by-hand.md"
BEFORE = """
mkdir -p /run/dbus
dbus-daemon --system # targetcli looks for plugins there
mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
vgcreate vg /dev/vde
echo InitiatorName=iqn.1993-08.org.debian:guest >/etc/iscsi/initiatorname.iscsi
iscsid
head -c 4M /dev/urandom >image.raw
qemu-img convert -f raw -O qcow2 image.raw image.qcow2
"""
AFTER_STORY_2 = """
cmp -n 4194304 image.raw $disk
"""
AFTER_ALL = """
! iscsiadm -m session
! iscsiadm -m node
[ -z "$(ls /sys/kernel/config/target/iscsi | grep iqn)" ]
[ "$(lvs --noheadings -o lv_name vg | xargs)" = pumice-thin ]
"""


@pytest.mark.kernel
@pytest.mark.timeout(900)
@pytest.mark.long
def test_every_command_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    login = next(number for number, block in enumerate(blocks) if "--login" in block)
    script = "".join([BEFORE, *blocks[: login + 1], AFTER_STORY_2, *blocks[login + 1 :], AFTER_ALL])
    done = subprocess.run(
        ["bash", "-eux"],
        input=script,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_names_no_command_line_of_ours_that_does_not_exist() -> None:
    for words in set(re.findall(r"^(pumice (?:operations )?[a-z]+)", PAGE.read_text(), re.MULTILINE)):
        helped = subprocess.run(
            [sys.executable, "-m", *words.split(), "--help"], capture_output=True, text=True, timeout=300
        )
        assert helped.returncode == 0, helped.stderr
