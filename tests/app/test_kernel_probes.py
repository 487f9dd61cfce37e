"""What the doctor says of the kernel's own targets and initiators, wherever it is asked."""

from pathlib import Path

from pumice.app import doctor
from pumice.app.settings import Compute, Settings
from pumice.backends.files_settings import FilesSettings
from pumice.model.finding import Verdict


async def test_the_doctor_looks_at_the_kernels_parts_that_the_settings_choose(tmp_path: Path) -> None:
    chosen = Settings(
        state_dir=tmp_path,
        backends={"one": FilesSettings(target="lio"), "two": FilesSettings(target="nvmet")},
        compute=Compute(driver="fake", connector="kernel", multipath=True),
    )
    found = {finding.part: finding for finding in await doctor.examine(chosen)}
    for part in ("lio", "nvmet", "kernel connector"):
        assert found[part].verdict is Verdict.OK or (found[part].cure and found[part].without)
    assert "tgtd" not in found


async def test_the_doctor_asks_nothing_of_the_kernel_by_default(tmp_path: Path) -> None:
    found = {finding.part for finding in await doctor.examine(Settings(state_dir=tmp_path))}
    assert not {"lio", "nvmet", "kernel connector"} & found
