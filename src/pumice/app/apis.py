"""The APIs and the console under one address.

A module of its own because importing it takes a third of the memory of a process: what only carries operations
does without, and the workers of one API have it from the process that they are forked from.
"""

from pumice.api.application import Application
from pumice.api.compute.service import compute_service
from pumice.api.console.service import Console
from pumice.api.console.session import Asgi
from pumice.api.identity.service import identity_service
from pumice.api.image.service import image_service
from pumice.api.own.service import own_service
from pumice.api.volume.service import volume_service
from pumice.app.answering import Answering
from pumice.app.node import Node
from pumice.identity.tokens import LocalTokens


def application(node: Node, watch: Asgi) -> Application:
    """All that this node answers, and ``watch`` beside it."""
    ctx, policy = node.ctx, node.settings.policy_file
    ctx.process = Answering(node)
    identity, tokens = identity_service(ctx, policy), ctx.tokens
    assert isinstance(tokens, LocalTokens)
    return Application(
        (
            volume_service(ctx, policy),
            identity,
            image_service(ctx, node.images, policy),
            compute_service(ctx, policy),
            own_service(ctx, policy),
        ),
        Console(identity, tokens.by_link),
        watch,
        node.settings.api.public_url,
        node.settings.http.trusts,
    )
