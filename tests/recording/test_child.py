"""The hook in a child process and in a notebook: what is recorded, what is refused, and where a script failed.

Each test that imports Keras takes ten seconds, so one process records as many forms as it can.
"""

import io
import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RECORDING = Path(__file__).parents[2] / "stages" / "recording"


def run(folder: Path, script: str, *arguments: str, **job: Any) -> dict[str, Any]:
    """Return the report of a child that runs a script in `folder`."""
    path = folder / "train.py"
    path.write_bytes(textwrap.dedent(script).encode("latin-1" if "latin-1" in script else "utf-8"))
    settings = {
        "script": str(path),
        "shown": "train.py",
        "arguments": list(arguments),
        "recording": str(folder / "case.zip"),
        "report": str(folder / "report.json"),
        **job,
    }
    (folder / "job.json").write_text(json.dumps(settings))
    with (folder / "log").open("w") as log:
        command = [sys.executable, str(RECORDING / "child.py"), str(folder / "job.json")]
        subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return recording.json and the arrays of a recording."""
    with zipfile.ZipFile(path) as file:
        arrays = {name[:-4]: np.load(io.BytesIO(file.read(name))) for name in file.namelist() if name.endswith(".npy")}
        return json.loads(file.read("recording.json")), arrays


@pytest.mark.tried("scripts to record")
@pytest.mark.parametrize(
    ("script", "report"),
    [
        ("def f(d):\n    return d['Load']\n\nf({})\n", {"failed": "KeyError: 'Load'", "line": 2, "called_from": 4}),
        ('x = 1\nprint "start", x\n', {"failed": "line 2: Python 2 print statement", "line": 2}),
        ("x = (1,\ny = 2\n", {"line": 1}),
        ("n = 3\nn = int(input('How many? '))\n", {"input": 2}),
        ("import no_such_data_source\n", {"failed": "ModuleNotFoundError: No module named 'no_such_data_source'"}),
        ("# coding: latin-1\nassert len('ó') == 1, len('ó')\n", {"ended": {}, "by_hand": None}),
        (
            "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate', required=True)\np.parse_args()\n",
            {"failed": "the script needs --rate", "line": 4},
        ),
    ],
)
def test_a_script_that_does_not_train_is_reported_with_its_line(
    tmp_path: Path, script: str, report: dict[str, Any]
) -> None:
    found = run(tmp_path, script)
    assert {key: found.get(key) for key in report} == report
    assert not (tmp_path / "case.zip").exists()


def test_a_script_of_keras_1_is_recorded_unchanged_and_nothing_runs_after_fit(tmp_path: Path) -> None:
    script = """
        import numpy as np
        from keras.layers.core import Dense, Dropout
        from keras.models import Sequential
        from keras.optimizers import SGD
        from keras.regularizers import l2
        from keras.utils import np_utils
        from sklearn.cross_validation import train_test_split

        x = np.arange(900).reshape(300, 3).astype(np.float)
        y = np_utils.to_categorical(np.arange(300) % 2, 2)
        model = Sequential()
        model.add(Dense(output_dim=4, input_dim=3, init='uniform', W_regularizer=l2(0.3)))
        model.add(Dropout(p=0.25))
        model.add(Dense(2, activation='softmax'))
        model.compile(loss='categorical_crossentropy', optimizer=SGD(lr=0.0001, decay=0.5, momentum=0.9))
        try:
            for i in range(3):
                model.fit(x, y, nb_epoch=12, batch_size=16, validation_split=0.33)
        except:
            pass
        open('after', 'w').close()
    """
    report = run(tmp_path, script)
    assert report["recorded"]
    assert not (tmp_path / "after").exists()
    recording, arrays = read(tmp_path / "case.zip")
    dense, dropout, output = recording["layers"]
    assert (dense["class"], dense["settings"]["units"], dense["line"]) == ("Dense", 4, 13)
    assert dense["settings"]["kernel_regularizer"] == {"class": "L2", "settings": {"l2": 0.3}}
    assert dense["settings"]["kernel_initializer"]["settings"] == {"minval": -0.05, "maxval": 0.05}
    assert dropout["settings"]["rate"] == 0.25
    assert output["settings"]["activation"] == "softmax"
    optimizer = recording["optimizer"]["settings"]
    assert (optimizer["learning_rate"], optimizer["decay"], optimizer["momentum"]) == (0.0001, 0.5, 0.9)
    assert recording["fit"]["epochs"] == 12
    assert recording["fit"]["validation"] == "split"
    # The rows before any shuffle: 300 * (1 - 0.33) is a little below 201.
    assert np.array_equal(arrays["x"], np.arange(900).reshape(300, 3)[:200])
    assert len(arrays["x_validation"]) == 100
    assert recording["call"]["count"] == 3
    assert recording["call"]["several"] == "line 19 trains 3 times, in a loop; the first is recorded"
    assert recording["weights"] == "initializers"
    used = {"keras.layers.core", "output_dim", "init", "W_regularizer", "p", "lr", "decay", "nb_epoch"}
    assert used <= set(recording["old_names"])


FORMS = """
    import json, sys
    sys.path.insert(0, sys.argv[1])
    import record
    import numpy as np, tensorflow as tf
    from tensorflow import keras

    outcomes = {}
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(100, 3)), np.sort(rng.integers(0, 2, 100))

    def network(*layers, loss="mse", optimizer="adam"):
        model = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
        model.compile(optimizer, loss)
        return model

    def form(function):
        record.next_fit(f"{function.__name__}.zip")
        try:
            function()
            outcomes[function.__name__] = "trained"
        except record.Recorded:
            outcomes[function.__name__] = "recorded"
        except record.Refused as refusal:
            outcomes[function.__name__] = str(refusal)
        return function

    @form
    def buffer():
        data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(10, seed=3).batch(25).repeat()
        network().fit(data, epochs=3, steps_per_epoch=4)

    @form
    def loop():
        def cost(wanted, got):
            return tf.reduce_mean(tf.square(got - wanted), axis=-1)
        model = network(keras.layers.Dense(4, activation="tanh"), loss=cost)
        for epoch in range(6):
            mixed = rng.permutation(100)
            for k in range(0, 100, 30):
                model.train_on_batch(x[mixed[k:k + 30]], y[mixed[k:k + 30]].reshape(-1, 1))

    @form
    def weights():
        model = network()
        model.set_weights([0 * each for each in model.get_weights()])
        model.fit(x, y)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = keras.layers.Dense(1), keras.layers.Dense(1)

        def call(self, inputs):
            return self.last(tf.nn.relu(self.first(inputs)))

    class Halved(Net):
        def call(self, inputs):
            return super().call(inputs) / 2

    class Own(Net):
        def train_step(self, data):
            return {"loss": 0.0}

    def fit(model):
        model.compile("sgd", "mae")
        model.fit(x, y, epochs=2)

    @form
    def subclass():
        fit(Net())

    @form
    def halved():
        fit(Halved())

    @form
    def own_step():
        fit(Own())

    @form
    def skip():
        a = keras.Input((3,))
        fit(keras.Model(a, keras.layers.Dense(1)(keras.layers.Add()([a, keras.layers.Dense(3)(a)]))))

    @form
    def own_loss():
        network(loss=lambda wanted, got: tf.reduce_mean(tf.abs(got - wanted) ** 3)).fit(x, y)

    @form
    def adds_loss():
        class Penalty(keras.layers.Layer):
            def call(self, inputs):
                self.add_loss(tf.reduce_sum(inputs))
                return inputs
        network(Penalty()).fit(x, y)

    @form
    def stops():
        class Stop(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = True
        network().fit(x, y, callbacks=[Stop()])

    json.dump(outcomes, open("outcomes.json", "w"))
"""


def test_each_form_of_training_is_recorded_as_it_is_or_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "forms.py").write_text(textwrap.dedent(FORMS))
    command = [sys.executable, "forms.py", str(RECORDING)]
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    outcomes = json.loads((tmp_path / "outcomes.json").read_text())

    # Rows that are sorted by class stay so, behind their short shuffle buffer.
    recording, arrays = read(tmp_path / "buffer.zip")
    assert recording["fit"]["shuffle"] == {"buffer": 10}
    assert np.array_equal(arrays["y"], np.sort(arrays["y"]))

    recording, arrays = read(tmp_path / "loop.zip")
    fit = recording["fit"]
    assert (fit["batch_size"], fit["epochs"], fit["shuffle"], len(arrays["x"])) == (30, 6, True, 100)
    assert (recording["loss"]["class"], recording["loss"]["own_name"]) == ("MeanSquaredError", "cost")
    assert recording["weights"] == "initializers"

    recording, arrays = read(tmp_path / "weights.zip")
    assert recording["weights"] == "set"
    assert not arrays[f"weights/{recording['layers'][0]['name']}.kernel"].any()

    recording, _ = read(tmp_path / "subclass.zip")
    assert [layer["class"] for layer in recording["layers"]] == ["Dense", "Activation", "Dense"]
    assert recording["layers"][1]["settings"] == {"activation": "relu"}

    assert "its output is not what its last layer gives" in outcomes["halved"]
    assert "Own, a class with its own train_step" in outcomes["own_step"]
    assert "Add takes or gives several tensors" in outcomes["skip"]
    assert "adds a loss of its own" in outcomes["adds_loss"]
    assert "Stop changes the training (stop_training in line" in outcomes["stops"]
    assert read(tmp_path / "own_loss.zip")[0]["loss"]["own"]
