"""Debian's own kernel, unpacked and not installed, and the initial file system that boots it on our root.

Both are kept in ``.cache/kernel`` of the checkout, by the version of the kernel, and its package beside them.
Only that is fetched.
"""

import gzip
import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "kernel"
_META_PACKAGE = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"

_INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mkdir -p /proc /sys /dev /lower /upper /root
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
mount -t virtiofs -o ro root /lower || poweroff -f
mount -t tmpfs -o size=90% upper /upper; mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root || poweroff -f
for it in proc sys dev; do mount --move /$it /root/$it; done
for word in $(cat /root/proc/cmdline); do case $word in guest_init=*) init=${word#*=} ;; esac; done
exec switch_root /root /bin/sh $init
"""


@dataclass(frozen=True, slots=True)
class KernelImage:
    """What QEMU needs to boot, and where the guest finds the kernel's modules."""

    vmlinuz: Path
    initrd: Path
    modules: Path
    """A directory to be seen as ``/lib/modules/VERSION`` by the guest."""


def kernel_image() -> KernelImage:
    """The kernel, fetched and unpacked where that was not done before, or ``RuntimeError`` if apt cannot."""
    kept = sorted(CACHE.glob("linux-image-*/.complete"))
    root = kept[-1].parent if kept else _unpack(_package())
    version = root.name.removeprefix("linux-image-")
    initrd = root / f"initrd-{hashlib.sha256(f'{_INIT}{_MODULES}'.encode()).hexdigest()[:12]}.gz"
    if not initrd.exists():
        _make_initrd(initrd, root, version)
    return KernelImage(root / "boot" / f"vmlinuz-{version}", initrd, root / "lib" / "modules" / version)


def _package() -> str:
    """The package that holds the current kernel, such as ``linux-image-6.1.0-56-cloud-amd64``."""
    words = _run("apt-cache", "depends", _META_PACKAGE).split()
    return next(word for word in words if word.startswith("linux-image-") and word != _META_PACKAGE)


def _unpack(package: str) -> Path:
    """Whoever comes first puts it in place; others who were at it as well throw theirs away."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="unpacking-") as folder:
        _run("apt-get", "-q", "download", package, cwd=folder)
        [file] = Path(folder).glob("*.deb")
        made = Path(folder) / package
        _run("dpkg-deb", "-x", str(file), str(made))
        _run("depmod", "-b", str(made), package.removeprefix("linux-image-"))
        (made / ".complete").touch()
        root = CACHE / package
        if not root.exists():
            made.rename(root)
        file.replace(CACHE / file.name)
    return root


def _make_initrd(initrd: Path, root: Path, version: str) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="initrd-") as name:
        folder = Path(name)
        files = []
        for module in _MODULES:
            for line in _run("modprobe", "-d", str(root), "-S", version, "--show-depends", module).splitlines():
                if line.startswith("insmod ") and (file := Path(line.split()[1])) not in files:
                    files.append(file)
        (folder / "modules").mkdir()
        (folder / "bin").mkdir()
        for file in files:
            shutil.copy(file, folder / "modules")
        (folder / "modules" / "order").write_text("\n".join(file.name for file in files))
        shutil.copy("/bin/busybox", folder / "bin")
        (folder / "init").write_text(_INIT)
        (folder / "init").chmod(0o755)
        names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
        archive = subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], cwd=folder, input=names.encode(), stdout=-1, check=True
        )
        made = folder / "initrd.gz"
        made.write_bytes(gzip.compress(archive.stdout, 1))
        made.rename(initrd)


def _run(*argv: str, cwd: str | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env={"PATH": _SBIN, "LC_ALL": "C"}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
