"""Hand notifications to a message broker, through oslo.messaging, as Cinder does.

Nobody waits for the broker but the one thread that speaks to it. A call that does not come back in time is left
behind in that thread, and nothing more is begun until it has.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pumice.host.oslo import with_threads
from pumice.host.thread import Threads
from pumice.model.errors import Misconfigured, Retryable

Message = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""The priority, the context, and the message itself."""
INSTALL = "Install it with: pip install 'pumice[notifications]'"
VERSION = 2.0
"""The version of the envelope."""


class Broker:
    """The broker at ``url``: each message goes to the queue TOPIC.PRIORITY of every topic."""

    def __init__(self, url: str, topics: Sequence[str], exchange: str, seconds: float = 30.0) -> None:
        self.topics = topics
        self.exchange = exchange
        self.seconds = seconds
        self._url = url
        self._threads = Threads("notifications", 1)
        self._transport: Any = None

    async def publish(self, messages: Sequence[Message]) -> None:
        """Have the broker take all of these. Raises ``Retryable``: then it may have taken some."""
        working = self._threads.run(self._publish, messages)
        done, _ = await asyncio.wait({working}, timeout=self.seconds)
        if not done:
            self._threads.cut(working)
            raise Retryable(f"The broker did not take notifications within {self.seconds:g} seconds.")
        working.result()

    def _publish(self, messages: Sequence[Message]) -> None:
        messaging = load()
        try:
            if self._transport is None:
                self._transport = self._open(messaging)
            for priority, context, message in messages:
                for topic in self.topics:
                    target = messaging.Target(topic=f"{topic}.{priority}", exchange=self.exchange)
                    # The notifier's own driver logs what fails, and goes on: what was not taken would be lost.
                    self._transport._send_notification(target, dict(context), message, version=VERSION, retry=0)
        except Exception as error:  # whatever the library, or the broker's, raises
            self.close()
            raise Retryable("The broker takes no notifications.", reason(error, self._url)) from None

    def _open(self, messaging: Any) -> Any:
        from oslo_config import cfg

        settings = cfg.ConfigOpts()
        settings([], project="pumice", default_config_files=[], default_config_dirs=[])
        return messaging.get_notification_transport(settings, url=self._url)

    def close(self) -> None:
        """Let the connection go."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            try:
                transport.cleanup()
            except Exception as error:
                logging.getLogger(__name__).debug("broker.cleanup_failed: %s", type(error).__name__)


def load() -> Any:
    """oslo.messaging, which takes seconds to import. Raises ``Misconfigured`` where it is not installed."""
    try:
        with with_threads():
            import oslo_messaging
            import oslo_messaging._drivers.impl_rabbit  # it would import eventlet later
    except ImportError as error:
        raise Misconfigured(f"Notifications need oslo.messaging. {INSTALL} ({error})") from None
    for name in ("oslo_messaging", "oslo.messaging", "amqp", "kombu"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors come as exceptions
    return oslo_messaging


def check(url: str) -> None:
    """Raise ``Misconfigured`` for a URL that is none, or names what oslo.messaging has no driver for."""
    messaging = load()
    from oslo_config import cfg

    try:
        messaging.get_notification_transport(cfg.ConfigOpts(), url=url).cleanup()
    except Exception as error:
        raise Misconfigured(f"[notifications] transport_url: {reason(error, url)}") from None


def reason(error: Exception, url: str) -> str:
    """Why, without the URL, in which there may be a password."""
    words = f"{type(error).__name__}: {error}".replace(url, "the transport_url")
    secret = url.partition("://")[2].rpartition("@")[0].rpartition(":")[2]
    return words.replace(secret, "…") if secret else words
