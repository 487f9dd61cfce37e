"""Every backend driver, by its name in settings: ours, and those that installed packages bring.

A package brings one by an entry point of the group ``pumice.backends``: the driver's name, and the schema of
its settings (a ``BackendSettings``).
"""

from pumice.backends.settings import BackendSettings
from pumice.host.registry import Registry

BACKENDS = Registry[BackendSettings](
    "pumice.backends",
    files="pumice.backends.files_settings:FilesSettings",
    lvm="pumice.backends.lvm_settings:LvmSettings",
    rbd="pumice.backends.rbd_settings:RbdSettings",
    fake="pumice.backends.fake_settings:FakeSettings",
)
