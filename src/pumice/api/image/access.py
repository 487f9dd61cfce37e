"""Which image a caller may do what to."""

from pumice.api.policy import Policy
from pumice.model.image import Image, Visibility
from pumice.model.scope import Scope
from pumice.store import images
from pumice.store.database import Transaction


def permitted(tx: Transaction, policy: Policy, rule: str, who: Scope, image_id: str) -> Image:
    """The image, if ``who`` sees it and ``rule`` lets them do this to its owner's images.

    Raises ``NotFound`` or ``Forbidden``.
    """
    image = images.get(tx, who, image_id)
    policy.require(rule, who, image.owner)
    return image


def require_visibility(policy: Policy, who: Scope, owner: str, wanted: Visibility) -> None:
    """Showing an image to other projects is guarded by rules of its own. Raises ``Forbidden``."""
    if wanted == Visibility.PUBLIC:
        policy.require("publicize_image", who, owner)
    elif wanted == Visibility.COMMUNITY:
        policy.require("communitize_image", who, owner)
