"""A recording becomes settings that train what the script trains, or a refusal with the line of the script."""

from typing import Any

import numpy as np
import pytest

from recording import recordings
from recording.recordings import dense, layer, recording
from stages.base.errors import UserError
from stages.config.network import PostedNetwork
from stages.config.schema import Task
from stages.recording.network import translate
from stages.recording.recorded import Recording

UNIFORM = {"class": "RandomUniform", "settings": {"minval": -0.1, "maxval": 0.1, "seed": 3}}
LAYERS = [dense("hidden", 4, 8, "relu"), dense("output", 8, 1, "sigmoid")]
STOPPING = {"monitor": "val_loss", "patience": 6, "min_delta": 0.001, "mode": "auto", "baseline": None}


def posted(found: Recording, task: Task = "binary") -> dict[str, Any]:
    """Return `as_posted` of a recording, which the schema takes."""
    settings = translate(found, task).as_posted
    PostedNetwork.model_validate(settings)
    return settings


def refusal(found: Recording, task: Task = "binary") -> str:
    with pytest.raises(UserError) as caught:
        translate(found, task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def callback(kind: str, **settings: Any) -> dict[str, Any]:
    return {"class": kind, "own": False, "settings": settings, "line": 14, "matters": True}


def optimizer(kind: str, **settings: Any) -> dict[str, Any]:
    return {"class": kind, "settings": settings, "steps_done": 0}


def validated(n_rows: int = 80) -> dict[str, np.ndarray]:
    found = recordings.arrays()
    rest = {f"{name}_validation": array[n_rows:] for name, array in found.items()}
    return {name: array[:n_rows] for name, array in found.items()} | rest


def test_a_script_with_defaults_gives_a_short_block() -> None:
    assert posted(recording()) == {
        "layers": {"hidden": {"units": 8, "activation": "relu"}, "output": {"units": 1, "activation": "sigmoid"}},
        "loss": "binary_crossentropy",
        "optimizer": {"name": "adam", "learning_rate": 0.001},
        "batch_size": 16,
        "epochs": 3,
    }


def test_every_layer_of_the_schema_is_taken_with_its_settings() -> None:
    shape = [8]
    settings = posted(
        recording(
            layers=[
                layer("flatten", "Flatten", [2, 2], [4], data_format="channels_last"),
                dense(
                    "first",
                    4,
                    8,
                    kernel_initializer=UNIFORM,
                    kernel_regularizer={"class": "L1L2", "settings": {"l1": 0.01, "l2": 0.029999999329447746}},
                    bias_regularizer={"class": "L2", "settings": {"l2": 0.1}},
                    activity_regularizer={"class": "L1", "settings": {"l1": 0.2}},
                    use_bias=False,
                ),
                layer("norm", "BatchNormalization", shape, shape, axis=[1], momentum=0.9, center=False, renorm=False),
                layer("act", "Activation", shape, shape, activation="tanh"),
                layer("drop", "Dropout", shape, shape, rate=0.25, seed=4, noise_shape=None),
                layer("relu", "ReLU", shape, shape, max_value=6.0, negative_slope=0.0, threshold=0.0),
                layer("leaky", "LeakyReLU", shape, shape, alpha=0.10000000149011612),
                layer("prelu", "PReLU", shape, shape, alpha_initializer={"class": "Zeros", "settings": {}}),
                layer("elu", "ELU", shape, shape, alpha=0.5),
                dense("output", 8, 3),
                layer("softmax", "Softmax", [3], [3], axis=-1),
            ]
        )
    )
    assert settings["layers"] == {
        "flatten": {"layer": "Flatten"},
        "first": {
            "units": 8,
            "kernel_initializer": {"name": "random_uniform", "minval": -0.1, "maxval": 0.1},
            "l1": 0.01,
            "l2": 0.03,
            "bias_l2": 0.1,
            "activity_l1": 0.2,
            "use_bias": False,
        },
        "norm": {"layer": "BatchNormalization", "momentum": 0.9, "center": False},
        "act": {"layer": "Activation", "activation": "tanh"},
        "drop": {"layer": "Dropout", "rate": 0.25},
        "relu": {"layer": "ReLU", "max_value": 6.0},
        "leaky": {"layer": "LeakyReLU", "negative_slope": 0.1},
        "prelu": {"layer": "PReLU"},
        "elu": {"layer": "ELU", "alpha": 0.5},
        "output": {"units": 3},
        "softmax": {"layer": "Softmax"},
    }


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("swish", "swish"),
        ({"class": "function", "own": False, "name": "elu"}, "elu"),
        (None, None),
        ({"class": "ReLU", "settings": {"max_value": 6.0}}, None),
    ],
)
def test_an_activation_is_a_name_or_a_layer_of_its_own(activation: Any, name: str | None) -> None:
    layers = posted(recording(layers=[dense("hidden", 4, 8, activation), LAYERS[1]]))["layers"]
    assert layers["hidden"].get("activation") == name
    after = {"layer": "ReLU", "max_value": 6.0}
    assert layers.get("hidden_activation") == (after if isinstance(activation, dict) and name is None else None)


def test_names_that_the_schema_does_not_take_are_changed_and_this_is_said() -> None:
    long = "a" * 100
    found = translate(
        recording(layers=[dense("1 x", 4, 8), dense("1/x", 8, 8), dense(long, 8, 8), LAYERS[1]]), "binary"
    )
    PostedNetwork.model_validate(found.as_posted)
    assert len(found.as_posted["layers"]) == 4
    assert "the layer 1/x is called layer_1_x_2 in the case" in found.said
    assert list(found.names) == ["1 x", "1/x", long, "output"]


@pytest.mark.parametrize(
    ("preparing", "inputs"),
    [
        ([{"scale": 0.5, "offset": 0.0}], {"scale": 0.5}),
        ([{"scale": 0.5, "offset": -1}], {"scale": 0.5, "offset": -1.0}),
        ([{"scale": 0.5, "offset": 1.0}, {"scale": 4, "offset": 1.0}], {"scale": 2.0, "offset": 5.0}),
    ],
)
def test_rescaling_becomes_inputs(preparing: list[dict[str, Any]], inputs: Any) -> None:
    first = [layer(f"r{i}", "Rescaling", [4], [4], **settings) for i, settings in enumerate(preparing)]
    assert posted(recording(layers=[*first, *LAYERS]))["inputs"] == inputs
    assert "Rescaling r0: the layer stands after another one" in refusal(
        recording(layers=[LAYERS[0], *first, LAYERS[1]])
    )


def test_normalization_becomes_standardized_only_with_the_statistics_of_the_training_rows() -> None:
    data = recordings.arrays()
    mean, variance = data["x"].mean(axis=0), data["x"].var(axis=0)

    def adapted(mean: Any, variance: Any) -> Recording:
        settings = {"axis": [-1], "mean": mean.tolist(), "variance": variance.tolist(), "invert": False}
        return recording(data, layers=[layer("norm", "Normalization", [4], [4], **settings), *LAYERS])

    assert posted(adapted(mean, variance))["inputs"] == "standardized"
    assert "another mean or variance than the rows that train" in refusal(adapted(mean + 0.1, variance))
    assert "another mean or variance than the rows that train" in refusal(adapted(mean, variance * 1.1))
    scale = posted(adapted(np.array([3.0]), np.array([4.0])))["inputs"]
    assert scale == {"scale": 0.5, "offset": -1.5}


def test_dense_on_examples_of_a_longer_shape_is_taken_only_if_flattening_changes_nothing() -> None:
    hidden, output = dense("hidden", 4, 8), dense("output", 8, 1)
    hidden["input_shape"], hidden["output_shape"] = [1, 4], [1, 8]
    output["input_shape"], output["output_shape"] = [1, 8], [1, 1]
    assert next(iter(posted(recording(layers=[hidden, output]))["layers"].values())) == {"layer": "Flatten"}
    hidden["input_shape"], hidden["output_shape"] = [3, 4], [3, 8]
    flatten = layer("flatten", "Flatten", [3, 8], [24])
    assert "line 12: Dense hidden: inputs of shape [3, 4]" in refusal(recording(layers=[hidden, flatten, LAYERS[1]]))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            [layer("conv", "Conv2D", [8, 8, 1], [6, 6, 4]), *LAYERS],
            "trains a network with Conv2D in line 12; expected",
        ),
        ([layer("noise", "GaussianNoise", [4], [4], stddev=0.1), *LAYERS], "a network with GaussianNoise in line 12"),
        ([{**LAYERS[0], "own": True}, LAYERS[1]], "Dense (a class of the script) in line 12"),
        ([{**LAYERS[0], "trainable": False}, LAYERS[1]], "Dense hidden: the layer is frozen"),
        ([dense("hidden", 4, 8, kernel_constraint={"class": "MaxNorm", "settings": {}})], "kernel_constraint: MaxNorm"),
        ([dense("hidden", 4, 8, {"class": "function", "own": True, "name": "f"})], "activation: f is of the script"),
        ([dense("hidden", 4, 8, "sin")], 'activation: "sin"'),
        ([dense("hidden", 4, 8, kernel_regularizer={"class": "OrthogonalRegularizer"})], "OrthogonalRegularizer"),
        ([dense("hidden", 4, 8, kernel_initializer={"class": "Mine", "own": True})], "kernel_initializer: Mine is of"),
        ([dense("hidden", 4, 8, dtype="float16")], 'dtype: "float16"'),
        ([layer("norm", "BatchNormalization", [4, 4], [4, 4], axis=1), *LAYERS], "axis: 1; expected the last axis"),
        ([layer("drop", "Dropout", [4], [4], rate=0.5, noise_shape=[1, 4]), *LAYERS], "noise_shape: [1, 4]"),
    ],
)
def test_what_is_not_in_the_schema_is_refused_by_layer_and_line(layers: list[dict[str, Any]], words: str) -> None:
    said = refusal(recording(layers=layers))
    assert said.startswith(("train.py: line 12: ", "train.py: line 32: trains a network with "))
    assert words in said


def test_an_activation_that_keras_3_computes_otherwise_is_refused_for_keras_2() -> None:
    layers = [dense("hidden", 4, 8, "hard_sigmoid"), LAYERS[1]]
    assert posted(recording(layers=layers))["layers"]["hidden"]["activation"] == "hard_sigmoid"
    assert "hard_sigmoid of Keras 2.15.0" in refusal(recording(layers=layers, versions={"keras": "2.15.0"}))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ({"name": "MSE"}, "mean_squared_error"),
        ({"name": "kullback_leibler_divergence"}, "kl_divergence"),
        ({"name": "cosine_proximity"}, "cosine_similarity"),
        ({"class": "Huber", "settings": {"delta": 0.5, "reduction": "auto"}}, {"name": "huber", "delta": 0.5}),
        (
            {"class": "BinaryCrossentropy", "settings": {"from_logits": True, "label_smoothing": 0.0, "axis": -1}},
            {"name": "binary_crossentropy", "from_logits": True},
        ),
    ],
)
def test_a_loss_has_the_name_of_today(loss: dict[str, Any], expected: Any) -> None:
    assert posted(recording(loss={"own": False, "settings": {}, **loss}))["loss"] == expected


def test_a_loss_of_the_script_is_refused_or_recorded_as_the_loss_that_it_is() -> None:
    own = {"name": "cost", "own": True, "settings": {}, "line": 9}
    assert refusal(recording(loss=own)).startswith("train.py: line 9: the loss cost is of the script")
    known = {"class": "MeanSquaredError", "own": False, "own_name": "cost", "settings": {}, "line": 9}
    found = translate(recording(loss=known), "regression")
    assert found.as_posted["loss"] == "mean_squared_error"
    assert any("function cost gives what mean_squared_error gives" in sentence for sentence in found.said)
    summed = {"class": "MeanSquaredError", "own": False, "settings": {"reduction": "sum"}, "line": None}
    assert "reduction" in refusal(recording(loss=summed))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (optimizer("SGD", learning_rate=0.01, decay=0.5, momentum=0.9, nesterov=True),
         {"name": "sgd", "learning_rate": 0.01, "decay": 0.5, "momentum": 0.9, "nesterov": True}),
        (optimizer("Adam", learning_rate=9.999999747378752e-05, clipnorm=1.0, jit_compile=True),
         {"name": "adam", "learning_rate": 0.0001, "clipnorm": 1.0}),
        (optimizer("Nadam", learning_rate=0.002, decay=0.004), {"name": "nadam", "learning_rate": 0.002}),
        (optimizer("Adadelta", learning_rate=1.0, rho=0.95), {"name": "adadelta", "learning_rate": 1.0}),
        (optimizer("SGD", learning_rate={"class": "ExponentialDecay", "settings": {
            "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.9, "staircase": False, "name": "x"}}),
         {"name": "sgd", "learning_rate": {
             "name": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 1, "decay_rate": 0.9,
             "staircase": False}}),
    ],
)  # fmt: skip
def test_an_optimizer_has_the_settings_of_the_script(entry: dict[str, Any], expected: dict[str, Any]) -> None:
    assert posted(recording(optimizer=entry))["optimizer"] == expected


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (optimizer("Adafactor", learning_rate=0.1), "the optimizer Adafactor: unknown to whichfix"),
        ({**optimizer("Mine", learning_rate=0.1), "own": True}, "the optimizer Mine is of the script"),
        (optimizer("Adam", learning_rate=0.1, use_ema=True), "use_ema"),
        (optimizer("Adam", learning_rate=0.1, loss_scale_factor=128), "loss_scale_factor"),
        (optimizer("Adam", learning_rate={"class": "Warm", "own": True, "settings": {}}), "the schedule Warm"),
        (optimizer("Adam", learning_rate=0.0), "learning_rate: 0"),
        ({**optimizer("SGD", learning_rate=0.1, decay=0.1), "steps_done": 188}, "has done 188 steps"),
    ],
)
def test_an_optimizer_that_whichfix_does_not_have_is_refused(entry: dict[str, Any], words: str) -> None:
    assert words in refusal(recording(optimizer=entry))


def test_callbacks_that_change_the_training_are_taken_and_others_are_passed_over() -> None:
    found = recording(
        validated(),
        callbacks=[
            callback("EarlyStopping", **STOPPING),
            callback("ReduceLROnPlateau", monitor="val_accuracy", factor=0.5, patience=2, min_lr=1e-5, mode="max"),
            {**callback("ModelCheckpoint"), "matters": False},
            {**callback("Curve"), "own": True, "matters": False},
        ],
    )
    translated = translate(found, "binary")
    assert translated.as_posted["early_stopping"] == {"patience": 6, "min_delta": 0.001}
    expected = {"monitor": "val_accuracy", "factor": 0.5, "patience": 2, "min_lr": 1e-5}
    assert translated.as_posted["reduce_on_plateau"] == expected
    assert any("ModelCheckpoint, Curve" in sentence for sentence in translated.said)


def test_a_callback_that_watches_what_is_not_there_is_left_out_and_this_is_said() -> None:
    found = translate(recording(callbacks=[callback("EarlyStopping", **STOPPING)]), "binary")
    assert "early_stopping" not in found.as_posted
    assert "EarlyStopping watches val_loss, which this training does not have, so it is left out" in found.said


@pytest.mark.parametrize(
    ("entry", "task", "words"),
    [
        (callback("EarlyStopping", monitor="val_auc"), "binary", "watches val_auc"),
        (callback("EarlyStopping", monitor="accuracy"), "multilabel", "does not count as the share of right answers"),
        (callback("EarlyStopping", monitor="loss", mode="max"), "binary", "expected mode min"),
        (callback("SwapEMAWeights"), "binary", "the callback SwapEMAWeights changes the training"),
    ],
)
def test_a_callback_that_whichfix_cannot_follow_is_refused(entry: dict[str, Any], task: Task, words: str) -> None:
    found = recording(validated(), callbacks=[entry], metrics=["auc", "accuracy"])
    assert words in refusal(found, task)


def test_a_learning_rate_scheduler_is_a_schedule_in_steps_with_the_same_rate_in_every_step() -> None:
    from stages.training.keras import keras

    rates = [0.1, 0.1, 0.05, 0.025]
    entry = callback("LearningRateScheduler", rates=rates)
    found = posted(recording(callbacks=[entry], fit={"batch_size": 32, "epochs": 4}))  # 100 rows are 4 batches
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        found["optimizer"]["learning_rate"]["boundaries"], found["optimizer"]["learning_rate"]["values"]
    )
    assert [round(float(schedule(step)), 6) for step in range(16)] == [rate for rate in rates for _ in range(4)]
    many = [0.1 * 0.99**epoch for epoch in range(200)]
    entry = callback("LearningRateScheduler", rates=many)
    found = posted(recording(callbacks=[entry], fit={"batch_size": 50, "epochs": 200}))
    rate = found["optimizer"]["learning_rate"]
    assert (rate["name"], rate["decay_steps"], rate["staircase"]) == ("ExponentialDecay", 2, True)
    assert rate["decay_rate"] == pytest.approx(0.99)
    assert posted(recording(callbacks=[callback("LearningRateScheduler", rates=[0.1] * 3)]))["optimizer"] == {
        "name": "adam",
        "learning_rate": 0.1,
    }


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ({"shuffle": False}, {"shuffle": False}),
        ({"shuffle": {"buffer": 10}}, {"shuffle": {"buffer": 10}}),
        ({"shuffle": "batches"}, {"shuffle": "batches"}),
        ({"steps_per_epoch": 4, "batch_size": 25}, {}),
        ({"steps_per_epoch": 3, "batch_size": 25}, {"steps_per_epoch": 3}),
        ({"steps_per_epoch": 3, "batch_size": 30, "drop_remainder": True}, {"drop_remainder": True}),
        ({"class_weight": {"0": 1.0, "1": 3.0}}, {"class_weight": {0: 1.0, 1: 3.0}}),
        ({"epochs": 10, "initial_epoch": 4}, {"epochs": 6}),
    ],
)
def test_fit_has_the_order_and_the_weights_of_the_script(fit: dict[str, Any], expected: dict[str, Any]) -> None:
    found = posted(recording(fit=fit))
    defaults = ("layers", "loss", "optimizer", "batch_size") + (() if "epochs" in expected else ("epochs",))
    assert {key: value for key, value in found.items() if key not in defaults} == expected


def test_weights_of_classes_and_of_examples_together_are_refused() -> None:
    data = recordings.arrays() | {"sample_weight": np.ones(100)}
    assert "weights of classes and of examples" in refusal(recording(data, fit={"class_weight": {"0": 1.0}}))


def test_first_weights_that_the_script_sets_are_asked_for() -> None:
    found = translate(recording(weights="set"), "binary")
    assert found.as_posted["initial_weights"] is True
    assert any("sets the first weights" in sentence for sentence in found.said)
