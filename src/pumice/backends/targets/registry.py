"""Every target driver, by its name in settings: ours, and those that installed packages bring.

A package brings one by an entry point of the group ``pumice.targets``: the driver's name, and the schema of its
settings (a ``TargetSettings``).
"""

from pumice.backends.targets.settings import TargetSettings
from pumice.host.registry import Registry

TARGETS = Registry[TargetSettings](
    "pumice.targets",
    tgt="pumice.backends.targets.tgt_settings:TgtSettings",
    lio="pumice.backends.targets.lio_settings:LioSettings",
    local="pumice.backends.targets.local_settings:LocalSettings",
    nvmet="pumice.backends.targets.nvmet_settings:NvmetSettings",
    rbd="pumice.backends.targets.rbd_settings:RbdTargetSettings",
    shared="pumice.backends.targets.shared_settings:SharedSettings",
    fake="pumice.backends.targets.fake_settings:FakeTargetSettings",
)
