"""No helper of the tests is called as a library is: whoever imports that one would get ours."""

import importlib.metadata
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_no_helper_hides_a_library() -> None:
    libraries = sys.stdlib_module_names | importlib.metadata.packages_distributions().keys()
    ours = {path.stem for folder in (HERE, *HERE.iterdir()) for path in folder.glob("*.py")}
    assert not ours & libraries - {"__init__", "tests"}
