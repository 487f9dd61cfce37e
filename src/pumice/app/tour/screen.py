"""How the tour looks: a heading per story, a line per step with its time, a bar for what takes long."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pumice.model.errors import PumiceError


class NobodyReads(PumiceError):
    """Raised where the tour's words are piped into a program that has ended."""


class _Console(Console):
    """Raises ``NobodyReads`` once, when what it writes to is gone, and is silent from then on."""

    def on_broken_pipe(self) -> None:
        """Called by Rich where printing met a broken pipe."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise NobodyReads("Nobody reads what it tells.")


class Screen:
    """Tells the tour to a terminal, or plainly to a file."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _Console(highlight=False)

    def story(self, number: int, title: str) -> None:
        """Begin a story."""
        self._print(f"\n[bold cyan]{number}.[/] [bold]{title}[/]")

    def say(self, text: str) -> None:
        """Print something worth knowing."""
        self._print(f"     [dim]{text}[/]")

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[float], None]]:
        """A step: a spinner, a bar once it says how far it is, at the end a tick and its time."""
        began = time.monotonic()
        if self.console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
            with Progress(*columns, console=self.console, transient=True) as progress:
                task = progress.add_task(text, total=None)
                yield lambda done: progress.update(task, total=1.0, completed=done)
        else:
            yield lambda _done: None
        self._print(f"   [green]✔[/] {text} [dim]{time.monotonic() - began:.2f} s[/]")

    def _print(self, text: str) -> None:
        """Print a line as it is, however narrow the terminal: ids stay whole and can be copied."""
        self.console.print(text, soft_wrap=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Names and values side by side."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._print(f"   {name:<{width}}  {value}")
