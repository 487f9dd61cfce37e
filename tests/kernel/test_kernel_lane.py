"""The lane itself: what it shows to the test inside, and what it reports of it outside."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kernel import GuestError, Kernel, why_not

HERE = Path(__file__).parent

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(why_not() is not None, reason=f"NO KERNEL LANE: {why_not()}"),
    pytest.mark.timeout(600),
]

SAMPLE = """
import os
import pytest

pytestmark = pytest.mark.kernel(disks=["64M"], modules=[])

def test_passes_on_its_disk():
    with open("/dev/vda", "r+b") as disk:
        disk.write(b"inside")

def test_fails_with_its_own_words():
    with open("/dev/vda", "rb") as disk:
        assert disk.read(6) == b"outside"

def test_is_skipped():
    pytest.skip("as it says")

def test_takes_the_guest_with_it():
    open("/proc/sysrq-trigger", "w").write("b")

def test_ends_in_a_new_guest():
    with open("/dev/vda", "rb") as disk:
        assert disk.read(6) == bytes(6)
    os._exit(7)
"""


def test_a_guest_is_another_kernel_on_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "seen").write_text("seen\n")
    with Kernel(disks=["1G"], modules=["dm-thin-pool"], shares=[tmp_path / "shared"]) as guest:
        assert guest.release != os.uname().release
        script = f"cat {tmp_path}/seen; blockdev --getsize64 /dev/vda; echo trouble >&2; exit 3"
        done = guest.run(["sh", "-c", script], timeout=60)
        assert (done.code, done.stdout, done.stderr) == (3, f"seen\n{1024**3}\n", "trouble\n")
        began = time.time()
        seen = float(guest.run(["date", "+%s"], timeout=60).stdout)
        assert began - 20 < seen < time.time() + 20, "its clock goes as ours, however busy this machine is"
        guest.run(["sh", "-c", f"echo kept >{tmp_path}/shared/file; echo lost >{tmp_path}/file"], timeout=60)
        with pytest.raises(GuestError, match="'sleep' did not end within 1 seconds"):
            guest.run(["sleep", "60"], timeout=1)
    assert (tmp_path / "shared" / "file").read_text() == "kept\n"
    assert not (tmp_path / "file").exists()


@pytest.mark.long
def test_tests_in_a_guest_are_reported_as_if_they_had_run_here(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    kernel\ntimeout = 60\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "kernel_lane", "-p", "no:cacheprovider", "-rA", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    said = done.stdout
    assert done.returncode == 1, said
    assert "PASSED test_sample.py::test_passes_on_its_disk" in said
    assert "AssertionError: assert b'inside' == b'outside'" in said
    assert "as it says" in said
    assert "The guest died." in said
    assert "pytest in the guest ended (7) without a word on this test." in said
    assert "3 failed, 1 passed, 1 skipped" in said
