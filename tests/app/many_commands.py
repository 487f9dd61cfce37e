"""Runs many commands from one process that has loaded everything once.

A line of standard input is a JSON object: ``asked``, a list of lists of words; ``env``, their environment;
``user``, the number of who runs them, if it is another; ``reader``, whether somebody reads what they print. Its
answer, a line of standard output, is a JSON list of exit codes and what was written.
"""

import gc
import json
import os
import signal
import sys
import tempfile
from typing import IO

LIMIT = 180
"""Seconds until a command that goes on is killed."""


def main() -> None:
    import alembic.command
    import oslo_policy._external
    import typer._adapters
    import uvicorn

    import pumice.app.audit
    import pumice.app.cli
    import pumice.app.doctor
    import pumice.app.hosts
    import pumice.app.operations_log
    import pumice.app.policy_sample
    import pumice.app.serve
    import pumice.app.tour.run
    import pumice.app.usage
    import pumice.store.names

    pumice.app.cli.command()
    del alembic, oslo_policy, pumice, typer, uvicorn
    gc.collect()
    gc.freeze()  # what is loaded stays: else each command would look through it for garbage
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            answer(**json.loads(line))
        os.waitpid(child, 0)


def answer(asked: list[list[str]], env: dict[str, str], user: int | None, *, reader: bool) -> None:
    """In a process of its own: begin them all, and tell how each ended."""
    os.environ.clear()
    os.environ.update(env)
    if user is not None:
        os.setuid(user)
    begun = [begin(words, reader=reader) for words in asked]
    print(json.dumps([end(child, output) for child, output in begun]), flush=True)
    os._exit(0)


def begin(words: list[str], *, reader: bool) -> tuple[int, IO[bytes]]:
    output = tempfile.TemporaryFile()  # noqa: SIM115 (read and closed at the end)
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        become(words, output, reader=reader)
    return child, output


def end(child: int, output: IO[bytes]) -> tuple[int, str]:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with output:
        output.seek(0)
        return code, output.read().decode(errors="backslashreplace")


def become(words: list[str], output: IO[bytes], *, reader: bool) -> None:
    from pumice.app import cli

    signal.alarm(LIMIT)
    ends = os.pipe()
    os.close(ends[0])
    os.dup2(output.fileno() if reader else ends[1], 1)
    os.dup2(output.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["pumice", *words]
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            traceback_of_a_flush = "Exception ignored: BrokenPipeError at the end"
            print(traceback_of_a_flush, file=sys.stderr)
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
