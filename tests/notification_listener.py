"""A listener of oslo.messaging's own, as Ceilometer has one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pumice.host import broker


class Heard:
    """What came: priority, event type, payload, message id; in its order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, dict[str, Any], str]] = []

    def info(self, _: Any, publisher_id: str, event_type: str, payload: Any, metadata: Any) -> None:
        assert publisher_id.partition(".")[0] == event_type.partition(".")[0]
        self.all.append(("info", event_type, payload, metadata["message_id"]))

    def error(self, _: Any, __: str, event_type: str, payload: Any, metadata: Any) -> None:
        self.all.append(("error", event_type, payload, metadata["message_id"]))

    def of(self, event_type: str) -> list[dict[str, Any]]:
        return [payload for _, name, payload, _ in list(self.all) if name == event_type]


@contextmanager
def listening(url: str, topic: str) -> Iterator[Heard]:
    messaging, heard = broker.load(), Heard()
    from oslo_config import cfg

    settings = cfg.ConfigOpts()
    settings([], project="listener", default_config_files=[], default_config_dirs=[])
    transport = messaging.get_notification_transport(settings, url=url)
    target = messaging.Target(topic=topic, exchange="cinder")
    listener = messaging.get_notification_listener(transport, [target], [heard], executor="threading")
    listener.start()
    try:
        yield heard
    finally:
        listener.stop()
        listener.wait()
        transport.cleanup()
