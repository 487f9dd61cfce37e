"""Runs in the guest, last in its boot: does what the host asks for on a virtio port, one command after another.

Asked ``{"argv": […], "cwd": …, "env": {…}}``, it answers with lines of JSON as they come: ``["stdout", text]``,
``["stderr", text]``, ``["note", text]`` for what the command writes to its file descriptor 3, and at last
``["exit", code]``. Needs Python's standard library alone.
"""

import fcntl
import json
import os
import subprocess
import sys
import threading

_NOTES = 3


def serve(port: str) -> None:
    """Answer for ever."""
    file = fcntl.fcntl(os.open(port, os.O_RDWR | os.O_CLOEXEC), fcntl.F_DUPFD_CLOEXEC, _NOTES + 1)
    lock = threading.Lock()

    def say(*words: object) -> None:
        data = json.dumps(words).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(file, data) :]

    say("ready", os.uname().release)
    asked = b""
    while True:
        asked += os.read(file, 65536)
        while b"\n" in asked:
            line, _, asked = asked.partition(b"\n")
            _run(say, **json.loads(line))


def _run(say, argv: list[str], cwd: str, env: dict[str, str]) -> None:
    readable, writable = os.pipe()
    os.dup2(writable, _NOTES)
    os.close(writable)
    try:
        child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[_NOTES],
        )
    except OSError as error:
        say("stderr", f"{error}\n")
        say("exit", 127)
        return
    finally:
        os.close(_NOTES)
    streams = {"stdout": child.stdout.fileno(), "stderr": child.stderr.fileno(), "note": readable}

    def forward(name: str, stream: int) -> None:
        while piece := os.read(stream, 65536):
            say(name, piece.decode(errors="replace"))

    threads = [threading.Thread(target=forward, args=it, daemon=True) for it in streams.items()]
    for thread in threads:
        thread.start()
    code = child.wait()
    for thread in threads:
        thread.join(1)  # a daemon that the command left behind may hold on to the pipe for ever
    say("exit", code)


if __name__ == "__main__":
    os.closerange(_NOTES, 10)
    serve(sys.argv[1])
