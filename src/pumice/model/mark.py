"""A mark: which installation something outside belongs to, and which of its places. One line of text."""

from dataclasses import dataclass

_WORD = "pumice"


@dataclass(frozen=True, slots=True)
class Mark:
    """``place`` is ``host@backend#pool``, or a host's name."""

    installation: str
    place: str

    def text(self) -> str:
        """The mark as it is written."""
        return f"{_WORD}:{self.installation}:{self.place}"

    def renamed(self, old: str, new: str) -> "Mark":
        """This mark once ``old``, a host or ``host@backend``, is called ``new``."""
        return Mark(self.installation, renamed(self.place, old, new))


def read(text: str) -> Mark | None:
    """The mark that a text is; None for any other."""
    word, _, rest = text.strip().partition(":")
    installation, colon, place = rest.partition(":")
    return Mark(installation, place) if word == _WORD and colon else None


def renamed(name: str, old: str, new: str) -> str:
    """A name of a place: what is ``old``, or lies in it (after ``@`` or ``#``), is called after ``new``."""
    rest = name.removeprefix(old)
    lies_in_it = name.startswith(old) and rest[:1] in ("", "@", "#")
    return new + rest if lies_in_it else name
