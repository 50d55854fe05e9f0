"""The hook runs where whichfix is not installed: in an environment with Keras 2, and in a Jupyter notebook."""

import importlib.util
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from recording.harness import EXPECTED, ROOT, Zygote, brief, translated

# Scripts that know Keras only as `tf.keras`, which is Keras 2 in the other environment.
OF_TENSORFLOW = [
    *("two_moons.py", "subclass_in_a_line.py", "batch_loop_shuffled.py", "dataset_sorted_small_buffer.py"),
    *("dataset_repeated.py", "python_generator.py", "decay_schedules.py", "images_rescaled.py", "hinge_labels.py"),
    *("everything_in_a_class.py", "tf_one_optimizer.py"),
]
# The hook needs Keras and NumPy, and nothing else that whichfix needs.
BLOCKED = ("stages", "pydantic", "ruamel", "dvc", "mlflow", "pandas", "sklearn", "joblib", "scipy", "matplotlib")
BLOCKING = """\
import sys

class Blocked:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {names}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked)
"""
OLD_SCRIPT = """\
import numpy as np
import tensorflow as tf

x = np.linspace(-1, 1, 90).reshape(-1, 1)
net = tf.keras.Sequential()
net.add(tf.keras.layers.Dense(12, input_dim=1))
net.add(tf.keras.layers.LeakyReLU(alpha=0.2))
net.add(tf.keras.layers.Dense(1))
net.compile(optimizer=tf.keras.optimizers.legacy.SGD(lr=0.05, decay=0.01, momentum=0.9), loss="mse")
net.fit(x, x**2, epochs=3, verbose=0)
"""
CELLS = (
    "import record\nrecord.next_fit('my_case.zip')",
    "import keras\nimport numpy as np\nx = np.random.rand(60, 4)",
    "model = keras.Sequential([keras.layers.Dense(5, activation='relu'), keras.layers.Dense(1)])\n"
    "model.compile(keras.optimizers.RMSprop(0.002), 'mae')",
    "try:\n    history = model.fit(x, x[:, 0] - x[:, 1], batch_size=12, epochs=4,\n        verbose=0)\n"
    "except Exception:\n    print('caught')",
    "print('next cell')",
    "history = model.fit(x, x[:, 0], epochs=2, verbose=0)\nprint(len(history.history['loss']), 'epochs')",
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the interpreter of a virtual environment that sees TensorFlow and Keras 2, but not whichfix."""
    found = importlib.util.find_spec("tf_keras")
    if found is None or found.origin is None:
        pytest.skip("tf-keras is not installed")
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    seen = {Path(found.origin).parents[1], *(Path(path) for path in sys.path if path.endswith("site-packages"))}
    (packages / "installed.pth").write_text("\n".join(map(str, seen)), encoding="utf-8")
    return str(folder / "bin/python")


@pytest.fixture(scope="module")
def keras_2(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("scripts"), python, {"TF_USE_LEGACY_KERAS": "1"})
    yield zygote
    zygote.close()


@pytest.mark.parametrize("script", OF_TENSORFLOW)
def test_under_keras_2_the_hook_records_the_same(keras_2: Zygote, script: str) -> None:
    report = keras_2.record(script)
    assert report.get("recorded") is True, f"{report}\n{keras_2.log(script)}"
    recording, case = translated(keras_2.recording(script))
    expected = EXPECTED[script]
    assert recording.content["versions"]["keras"].startswith("2.")
    assert brief(case.block["as_posted"]) == brief(expected["as_posted"])
    assert (case.block["task"], list(case.arrays["x"].shape)) == (expected["task"], expected["x"])


def test_the_child_needs_nothing_but_keras_and_numpy(python: str, tmp_path: Path) -> None:
    (packages,) = Path(python).parents[1].glob("lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text(BLOCKING.format(names=BLOCKED), encoding="utf-8")
    script, job = tmp_path / "old.py", tmp_path / "job.json"
    script.write_text(OLD_SCRIPT, encoding="utf-8")
    paths = {"recording": str(tmp_path / "old.zip"), "report": str(tmp_path / "report.json")}
    job.write_text(json.dumps({"script": str(script), "shown": "old.py", "arguments": [], **paths}), encoding="utf-8")
    child = ROOT / "stages/recording/child.py"
    environment = {"PATH": "/usr/bin:/bin", "TF_USE_LEGACY_KERAS": "1"}
    ended = subprocess.run(
        [python, str(child), str(job)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    (packages / "sitecustomize.py").unlink()
    assert (tmp_path / "report.json").exists(), ended.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report.get("recorded") is True, f"{report}\n{ended.stderr}"
    _, case = translated(tmp_path / "old.zip")
    assert brief(case.block["as_posted"]) == brief(
        {
            "layers": [{"units": 12}, {"layer": "LeakyReLU", "negative_slope": 0.2}, {"units": 1}],
            "loss": "mse",
            "optimizer": {"name": "sgd", "learning_rate": 0.05, "decay": 0.01, "momentum": 0.9},
            "batch_size": 32,
            "epochs": 3,
        }
    )


def test_a_notebook_records_its_next_fit_and_goes_on(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    shutil.copy(ROOT / "stages/recording/record.py", tmp_path)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=120, allow_errors=True, resources=resources).execute()
    texts = ["".join(_text(output) for output in cell.outputs) for cell in notebook.cells]
    assert "my_case.zip was written" in texts[3]
    assert "python -m stages add my_case" in texts[3]
    assert "Traceback" not in texts[3]
    assert "caught" not in texts[3]
    assert texts[4].strip() == "next cell"
    assert texts[5].strip() == "2 epochs"
    recording, case = translated(tmp_path / "my_case.zip")
    assert recording.content["script"]["path"] is None
    assert recording.content["script"]["line"] == 2
    assert case.arrays["x"].shape == (60, 4)
    assert brief(case.block["as_posted"]) == brief(
        {
            "layers": [{"units": 5, "activation": "relu"}, {"units": 1}],
            "loss": "mae",
            "optimizer": {"name": "rmsprop", "learning_rate": 0.002},
            "batch_size": 12,
            "epochs": 4,
        }
    )


def _text(output: dict[str, object]) -> str:
    """Return what an output of a cell shows."""
    shown = output.get("text") or "\n".join(map(str, output.get("traceback", [])))  # type: ignore[call-overload]
    return str(shown)
