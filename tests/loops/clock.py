"""A clock that tests move."""

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Called, it tells the time; told to, it goes on."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def goes_on(self, seconds: float) -> None:
        self.now += seconds
