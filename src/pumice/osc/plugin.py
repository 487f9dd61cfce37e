"""What ``openstack`` asks of a plug-in: its name, its version, and a client of its API (osc-lib, "Plugins")."""

import argparse
from typing import Any

from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions.http import HttpError
from osc_lib.exceptions import CommandError

API_NAME = "pumice"
API_VERSION_OPTION = "os_pumice_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = ("1",)


class Client(Adapter):
    """Asks the service, and raises the sentence with which it refuses; keystoneauth does not find it."""

    def request(self, url: str, method: str, **words: Any) -> Any:
        """Ask. Raises ``CommandError``."""
        try:
            return super().request(url, method, **words)
        except HttpError as refusal:
            if refusal.response is None:
                raise
            [fault] = refusal.response.json().values()
            raise CommandError(fault["message"]) from None


def make_client(instance: Any) -> Client:
    """A client that asks the service ``pumice`` of the catalog."""
    return Client(
        session=instance.session,
        service_type="pumice",
        interface=instance.interface,
        region_name=instance.region_name,
    )


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """No options of its own: there is one version."""
    return parser
