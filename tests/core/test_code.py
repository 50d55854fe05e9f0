import subprocess
import sys
from pathlib import Path

import pytest

from stages.core import code

PROGRAM = """
import importlib, sys
for path in sys.argv[1:]:
    importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
print(*sorted(getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())
              if name.split(".")[0] == "stages"))
"""


@pytest.mark.parametrize("stage", code.stage_modules())
def test_the_files_of_a_stage_are_those_that_python_imports(stage: str, root: Path) -> None:
    found = code.closure(code.stage_modules()[stage])
    # What a function imports is imported here too, by its name.
    paths = sorted(path.relative_to(root).as_posix() for path in found)
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths], cwd=root, capture_output=True, text=True, check=True
    )
    assert {Path(path) for path in ended.stdout.split()} == found


def test_what_a_function_imports_is_followed_and_what_is_for_types_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "stages")
    modules = {
        "__init__.py": "from stages.core import runtime",
        "one.py": "def main():\n    from stages.core.two import name\nif TYPE_CHECKING:\n    import stages.core.three",
        "core/__init__.py": "",
        "core/runtime.py": "import os",
        "core/two.py": "import stages.core.one as one",
        "core/three.py": "",
        "core/one.py": "import numpy",
    }
    for name, text in modules.items():
        path = tmp_path / "stages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    before = code.digests(tmp_path / "stages/one.py")
    expected = {"__init__", "one", "core/__init__", "core/runtime", "core/two", "core/one"}
    assert before.keys() == {f"stages/{name}.py" for name in expected}
    (tmp_path / "stages/core/three.py").write_text("edited = True", encoding="utf-8")
    assert code.digests(tmp_path / "stages/one.py") == before
    (tmp_path / "stages/core/one.py").write_text("edited = True", encoding="utf-8")
    changed = {path for path, digest in code.digests(tmp_path / "stages/one.py").items() if digest != before[path]}
    assert changed == {"stages/core/one.py"}
