"""What OpenStack's own Tempest is told of an installation: its ``tempest.conf``."""

import json
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

from tests.clients.installation import Installation

NAME = "tempest.conf"
MULTIATTACH = "multiattach"
YES, NO = "true", "false"
_RELEASED = "source-name,unmanaged-%s"
"""How bytes that were unmanaged are called, by the id of what they were."""


def write(pumice: Installation, folder: Path) -> None:
    """Write it into ``folder``: the administrator, an image, two flavors, and what Tempest supposes wrongly.

    It names a type of volumes that many servers may have, which is made here.
    """
    with pumice.cloud() as cloud:
        image = next(iter(cloud.image.images())).id
        small, large, *_ = (flavor.id for flavor in sorted(cloud.compute.flavors(), key=lambda it: it.ram))
        cloud.block_storage.create_type(name=MULTIATTACH, extra_specs={"multiattach": "<is> True"})
    parser = ConfigParser(interpolation=None)
    parser.read_dict(
        {
            "DEFAULT": {"log_dir": folder, "log_file": "tempest.log"},
            "oslo_concurrency": {"lock_path": folder / "locks"},
            "service_available": {"neutron": YES, "swift": NO, "horizon": NO},
            "auth": {
                "admin_username": "admin",
                "admin_password": pumice.passwords["admin"],
                "admin_project_name": "admin",
                "create_isolated_networks": NO,
            },
            "identity": {"uri_v3": f"{pumice.url}/identity/v3"},
            "identity-feature-enabled": {"trust": NO},
            "image-feature-enabled": {
                "image_format_enforcement": NO,  # the bytes that it uploads as raw are nothing else
                "import_image": NO,
                "os_glance_reserved": NO,
            },
            "compute": {
                "image_ref": image,
                "image_ref_alt": image,
                "flavor_ref": small,
                "flavor_ref_alt": large,
                "max_microversion": "latest",
                "build_interval": "0",
            },
            "compute-feature-enabled": {"shelve": NO, "snapshot": NO, "volume_multiattach": YES},
            "image": {"container_formats": "bare", "disk_formats": "raw"},
            "validation": {"run_validation": NO},
            "volume": {**_VOLUME, "backend_names": ",".join(json.loads(pumice.environment["PUMICE_BACKENDS"]))},
            "volume-feature-enabled": {
                "extend_attached_encrypted_volume": YES,
                "extend_attached_volume": YES,
                "manage_snapshot": YES,
                "manage_volume": YES,
                "multi_backend": YES,
            },
        }
    )
    with (folder / NAME).open("w") as file:
        parser.write(file)


_VOLUME: Mapping[str, str] = {
    "backup_driver": "s3",
    "build_interval": "0",
    "manage_snapshot_ref": _RELEASED,
    "manage_volume_ref": _RELEASED,
    "max_microversion": "latest",
    "vendor_name": "Pumice",
    "volume_type_multiattach": MULTIATTACH,
}
