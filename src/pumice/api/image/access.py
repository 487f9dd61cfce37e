"""Which image a caller may do what to."""

from pumice.api.policy import ADMIN, MEMBER, Policy, Rule
from pumice.model.image import Image, Visibility
from pumice.model.scope import Scope
from pumice.store import images
from pumice.store.database import Transaction

PUBLICIZE = Rule("publicize_image", ADMIN)
COMMUNITIZE = Rule("communitize_image", MEMBER)
SHOWING = (PUBLICIZE, COMMUNITIZE)
"""What guards showing an image to other projects."""


def permitted(tx: Transaction, policy: Policy, rule: Rule, who: Scope, image_id: str) -> Image:
    """The image, if ``who`` sees it and ``rule`` lets them do this to its owner's images.

    Raises ``NotFound`` or ``Forbidden``.
    """
    image = images.get(tx, who, image_id)
    policy.require(rule, who, image.owner)
    return image


def require_visibility(policy: Policy, who: Scope, owner: str, wanted: Visibility) -> None:
    """Showing an image to other projects is guarded by rules of its own. Raises ``Forbidden``."""
    if wanted == Visibility.PUBLIC:
        policy.require(PUBLICIZE, who, owner)
    elif wanted == Visibility.COMMUNITY:
        policy.require(COMMUNITIZE, who, owner)
