"""What ``openstack`` asks of a plug-in: its name, its version, and a client of its API (osc-lib, "Plugins")."""

import argparse
from typing import Any

from keystoneauth1.adapter import Adapter

API_NAME = "pumice"
API_VERSION_OPTION = "os_pumice_api_version"
DEFAULT_API_VERSION = "1"
API_VERSIONS = ("1",)


def make_client(instance: Any) -> Adapter:
    """A client that asks the service ``pumice`` of the catalog."""
    return Adapter(
        session=instance.session,
        service_type="pumice",
        interface=instance.interface,
        region_name=instance.region_name,
    )


def build_option_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """No options of its own: there is one version."""
    return parser
