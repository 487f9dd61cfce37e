"""Yes and no in queries. Where the services differ, each has a function of its own."""

from pumice.api.call import Call
from pumice.model.booleans import boolean
from pumice.model.errors import Invalid


def word(text: str, wrong: str) -> bool:
    """What a word of a query stands for. Raises ``Invalid`` with the sentence ``wrong``."""
    try:
        return boolean(text)
    except ValueError:
        raise Invalid(wrong) from None


def flag(call: Call, name: str) -> bool:
    """A parameter of Cinder's or Nova's query; no if it is absent. Raises ``Invalid``."""
    text = call.query.get(name)
    return text is not None and word(text, f"Value '{text}' for '{name}' is not a boolean.")


def is_set(call: Call, name: str) -> bool:
    """Whether a flag of Keystone's query is set: ``?effective`` is, ``?effective=0`` is not."""
    text = call.query.get(name)
    return text is not None and text.lower() not in ("0", "false", "f", "no", "n", "off")


def is_public(call: Call) -> bool | None:
    """Which flavors or volume types an administrator asks for: public ones if nothing is said; None is any.

    Raises ``Invalid``.
    """
    text = call.query.get("is_public", "true")
    return None if text.lower() == "none" else word(text, f"Invalid is_public filter [{text}]")


def of_image(name: str, text: str) -> bool:
    """A filter of images: Glance takes two words alone. Raises ``Invalid``."""
    if text.lower() not in ("true", "false"):
        raise Invalid(f"Invalid value '{text}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return text.lower() == "true"


def of_volume(name: str, text: str) -> bool:
    """A column of a volume or snapshot, since 3.2: Cinder takes six words. Raises ``Invalid``."""
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise Invalid(f"Invalid input received: '{name} = {text}'")
    return boolean(text)
