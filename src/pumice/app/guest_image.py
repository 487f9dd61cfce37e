"""A small Linux to boot in the guided tour and in tests: made here, from Debian's packages alone.

    kernel package -> kernel and virtio modules  \\
    busybox-static + the init below -> initramfs   > FAT file system with syslinux -> qcow2 of about 13 MB

Nothing is mounted and no loop device is used, so it is made in a container as well. The result is kept in a
cache, under the kernel's version and a digest of this recipe; building it twice gives the same guest.

The guest talks on its serial port (ttyS0), one line for each thing that happens:

    PUMICE-GUEST ready kernel 6.1.0-56-cloud-amd64 boot 1      it runs; boots are counted on its own disk
    PUMICE-GUEST disk vdb 2097152 sectors serial 5cb2…         a disk is there, or came
    PUMICE-GUEST wrote vdb                                     it was empty, and got the greeting
    PUMICE-GUEST gone vdb                                      it went away

and runs every line it is sent there as a shell command.
"""

import gzip
import hashlib
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pumice.host.command import CommandFailed, run
from pumice.host.thread import in_thread
from pumice.model.errors import Misconfigured, Retryable
from pumice.model.units import MIB

GREETING = "hello from the guest"
"""What the guest writes at the beginning of every empty disk."""

_INIT = f"""\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module; done
tries=0; while [ ! -b /dev/vda ] && [ $tries -lt 100 ]; do usleep 50000; tries=$((tries+1)); done

# Boots are counted in sector 64, which lies between the partition table and the first partition.
boot=$(dd if=/dev/vda bs=512 skip=64 count=1 2>/dev/null | tr -d '\\0'); boot=$((boot+1))
echo $boot | dd of=/dev/vda bs=512 seek=64 conv=fsync,notrunc 2>/dev/null
stty -echo -onlcr < /dev/ttyS0
acpid -l /dev/null
echo "PUMICE-GUEST ready kernel $(uname -r) boot $boot"

# A node of its own: writing to one in /dev whose disk has just gone would make a file in its place.
met() {{
    number=$(tr : ' ' < /sys/block/$1/dev) && rm -f /met && mknod /met b $number || return
    serial=$(cat /sys/block/$1/serial 2>/dev/null)
    echo "PUMICE-GUEST disk $1 $(cat /sys/block/$1/size) sectors serial $serial"
    [ "$(dd if=/met bs=512 count=1 2>/dev/null | tr -d '\\0' | wc -c)" = 0 ] || return
    echo "{GREETING}, kernel $(uname -r)" | dd of=/met conv=fsync,notrunc 2>/dev/null || return
    echo "PUMICE-GUEST wrote $1"
}}
# A name may be that of another disk since the last look; its sequence number never is.
# To look starts no process: it goes on for as long as the guest lives, and its processor may be emulated.
watch_disks() {{
    known=" "
    mkfifo /never; exec 3<> /never
    while true; do
        present=" "
        for path in /sys/block/vd*; do
            {{ read -r sequence < $path/diskseq; }} 2>/dev/null && present="$present${{path##*/}}:$sequence "
        done
        for disk in $known; do
            case "$present" in *" $disk "*) ;; *) echo "PUMICE-GUEST gone ${{disk%:*}}" ;; esac
        done
        for disk in $present; do
            case "$known" in *" $disk "*) ;; *) met ${{disk%:*}} ;; esac
        done
        known=$present
        read -r -t 0.1 word <&3
    done
}}
watch_disks &
while true; do while IFS= read -r line; do eval "$line"; done < /dev/ttyS0 > /dev/ttyS0 2>&1; done
"""

_POWER_BUTTON = "#!/bin/busybox sh\n/bin/busybox poweroff -f\n"

_SYSLINUX = """\
SERIAL 0 115200
DEFAULT linux
PROMPT 0
LABEL linux
 KERNEL vmlinuz
 INITRD initrd.gz
 APPEND console=ttyS0 quiet tsc=reliable
"""

_META_PACKAGE = "linux-image-cloud-amd64"
_MODULES = ("virtio_pci", "virtio_blk", "button", "evdev")
_BUSYBOX = Path("/bin/busybox")
_MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")
_DISK_BYTES = 40 * MIB
_PARTITION_SECTOR = 2048
_EPOCH = {"SOURCE_DATE_EPOCH": "1700000000", "MTOOLS_SKIP_CHECK": "1"}
_RECIPE = 1  # to be raised when a change lies in the code below rather than in the texts above

_NEEDED = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "depmod": "kmod",
    "modprobe": "kmod",
    "sfdisk": "fdisk",
    "mkfs.vfat": "dosfstools",
    "syslinux": "syslinux",
    "mcopy": "mtools",
    "qemu-img": "qemu-utils",
}


async def build_guest_image(
    destination: Path, cache: Path, progress: Callable[[str], None] = lambda _step: None
) -> Path:
    """Put the guest's disk image (qcow2) at ``destination``; out of ``cache`` where it has been built before.

    ``progress`` is told each step in a few words. Raises ``Misconfigured`` with what to install, or
    ``Retryable`` when the kernel's package cannot be downloaded.
    """
    _check()
    package = await _kernel_package()
    recipe = hashlib.sha256(f"{_RECIPE}{_INIT}{_POWER_BUTTON}{_SYSLINUX}{_MODULES}".encode()).hexdigest()[:12]
    built = cache / f"guest-{package.removeprefix('linux-image-')}-{recipe}.qcow2"
    if not built.exists():
        with _folder_in(cache, "building-") as folder:
            await _build(package, cache, folder, progress)
            (folder / "guest.qcow2").replace(built)
    await in_thread(_copy, built, destination)
    return destination


@contextmanager
def _folder_in(cache: Path, prefix: str) -> Iterator[Path]:
    """A folder on the cache's file system, gone at the end."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=prefix) as folder:
        yield Path(folder)


def _copy(built: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(built, destination)


def missing_packages() -> list[str]:
    """Debian's packages that would have to be installed before the guest can be built; none is fine."""
    missing = {package for command, package in _NEEDED.items() if not _which(command)}
    if not _BUSYBOX.exists() or b"ld-linux" in _BUSYBOX.read_bytes()[:4096]:  # its ELF interpreter
        missing.add("busybox-static")
    if not _MBR.exists():
        missing.add("syslinux-common")
    return sorted(missing)


def _check() -> None:
    if missing := missing_packages():
        raise Misconfigured(
            f"The guest image cannot be built here; install: apt-get install {' '.join(missing)}"
        )


def _which(command: str) -> str | None:
    """The path of a command, also one in sbin, which not everybody's PATH has."""
    return shutil.which(command) or shutil.which(command, path="/usr/sbin:/sbin")


async def _kernel_package() -> str:
    """The package that holds the current kernel, e.g. ``linux-image-6.1.0-56-cloud-amd64``."""
    depends = await run("apt-cache", "depends", _META_PACKAGE, timeout=30)
    for word in depends.split():
        if word.startswith("linux-image-") and word != _META_PACKAGE:
            return word
    raise Misconfigured(f"apt does not know the package {_META_PACKAGE}; refresh its lists: apt-get update")


async def _build(package: str, cache: Path, folder: Path, progress: Callable[[str], None]) -> None:
    kernel = package.removeprefix("linux-image-")
    root = folder / "kernel"
    progress("download the kernel")
    await run("dpkg-deb", "-x", await _downloaded(package, cache), root, timeout=120)
    progress("make the initial file system")
    vmlinuz = root / "boot" / f"vmlinuz-{kernel}"
    initrd = folder / "initrd.gz"
    modules = await _modules(root, kernel)
    await in_thread(_write_initramfs, initrd, modules)
    progress("make the disk")
    await _make_disk(folder, vmlinuz, initrd)


async def _downloaded(package: str, cache: Path) -> Path:
    if (kept := _package_file(cache, package)) is not None:
        return kept
    with _folder_in(cache, "download-") as folder:
        try:
            await run("env", "-C", folder, "apt-get", "-q", "download", package, timeout=600)
        except CommandFailed as failed:
            raise Retryable(
                f"The kernel for the guest image could not be downloaded ({failed.stderr.strip()[-200:]}). "
                "Refresh apt's lists (apt-get update) and try again."
            ) from failed
        file = _package_file(folder, package)
        assert file is not None
        return file.replace(cache / file.name)


def _package_file(folder: Path, package: str) -> Path | None:
    return max(folder.glob(f"{package}_*.deb"), default=None)


async def _modules(root: Path, kernel: str) -> list[Path]:
    """Module files in the order in which they load. One that is built in needs no file."""
    await run(_which("depmod") or "depmod", "-b", root, kernel, timeout=60)
    files: dict[Path, None] = {}
    for module in _MODULES:
        words = ("-d", str(root), "-S", kernel, "--show-depends", module)
        for line in (await run(_which("modprobe") or "modprobe", *words, timeout=30)).splitlines():
            if line.startswith("insmod "):
                files[Path(line.split()[1])] = None
    return list(files)


def _write_initramfs(target: Path, modules: list[Path]) -> None:
    """A gzipped cpio archive in the kernel's ``newc`` format (Documentation/driver-api/early-userspace)."""
    folders = ("bin", "proc", "sys", "dev", "modules", "etc", "etc/acpi", "etc/acpi/PWRF")
    files = {
        "init": _INIT.encode(),
        "bin/busybox": _BUSYBOX.read_bytes(),
        "etc/acpi/PWRF/00000080": _POWER_BUTTON.encode(),
        "modules/order": "\n".join(file.name for file in modules).encode(),
        **{f"modules/{file.name}": file.read_bytes() for file in modules},
    }
    archive = bytearray()
    for number, name in enumerate(folders, 1):
        archive += _cpio_entry(number, name, stat.S_IFDIR | 0o755, b"")
    # The kernel opens /dev/console for init before anything could make it.
    archive += _cpio_entry(99, "dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1))
    for number, (name, content) in enumerate(files.items(), 100):
        archive += _cpio_entry(number, name, stat.S_IFREG | 0o755, content)
    archive += _cpio_entry(0, "TRAILER!!!", 0, b"")
    target.write_bytes(gzip.compress(bytes(archive), mtime=0))


def _cpio_entry(number: int, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    links, size, name_size = 1, len(content), len(name) + 1
    fields = (number, mode, 0, 0, links, 0, size, 0, 0, *device, name_size, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _aligned(header) + _aligned(content)


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


async def _make_disk(folder: Path, vmlinuz: Path, initrd: Path) -> None:
    raw, config, offset = folder / "guest.raw", folder / "syslinux.cfg", _PARTITION_SECTOR * 512
    config.write_text(_SYSLINUX)
    with raw.open("wb") as disk:
        disk.truncate(_DISK_BYTES)
    table = f"label: dos\nlabel-id: 0x50554d49\nstart={_PARTITION_SECTOR}, type=e, bootable\n"
    await run(_which("sfdisk") or "sfdisk", "-q", raw, stdin=table.encode(), timeout=30)
    await in_thread(_write_boot_code, raw)
    blocks = (_DISK_BYTES - offset) // 1024
    await run(
        *(_which("mkfs.vfat") or "mkfs.vfat", "-F", "16", "-i", "50554d49", "--invariant"),
        *("-h", str(_PARTITION_SECTOR), "--offset", str(_PARTITION_SECTOR), raw, str(blocks)),
        timeout=30,
    )
    await run("syslinux", "--install", "-t", str(offset), raw, timeout=30, env=_EPOCH)
    for source, name in ((vmlinuz, "vmlinuz"), (initrd, "initrd.gz"), (config, "syslinux.cfg")):
        await run("mcopy", "-i", f"{raw}@@{offset}", source, f"::/{name}", timeout=60, env=_EPOCH)
    await run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, folder / "guest.qcow2", timeout=120)


def _write_boot_code(raw: Path) -> None:
    with raw.open("r+b") as disk:
        disk.write(_MBR.read_bytes()[:440])  # the partition table follows
