"""Symptoms are what they are in plain Keras, and measuring them leaves no trace in the training."""

import math
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from samples import ONE_SIGMOID, bits, dataset, layers, network

from stages.data import scoring
from stages.training import losses, orders, symptoms
from stages.training import model as models
from stages.training.answers import statistics, targets_of
from stages.training.keras import keras, tf
from stages.training.probe import Probe
from stages.training.trainer import Trainer
from training.by_keras import in_batches
from training.test_fit import OPTIMIZERS

DATA = dataset(validation=False)


def norm(array: np.ndarray) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def measured(settings: dict[str, Any], **weights: Any) -> tuple[dict[str, Any], Trainer]:
    """Return the symptoms of an untrained network with these `weights` by ``<layer>_<part>``; others are random."""
    trainer, random = Trainer(network(**settings), DATA), np.random.default_rng(2)
    for name, variable in trainer.weights.items():
        drawn = np.abs(random.normal(0.02, 0.01, variable.shape))
        variable.assign(weights.get(name.replace(".", "_"), drawn))
    return trainer.probe.measure(trainer.network, trainer._sample), trainer


def test_a_unit_is_dead_if_it_is_zero_for_every_example_and_a_value_is_saturated_where_its_activation_is_flat() -> None:
    three = {"first": {"units": 7, "activation": "relu"}, "second": {"units": 4, "activation": "tanh"}}
    three |= {"third": {"units": 2}, "act": {"layer": "ReLU", "max_value": 6}, "output": {"units": 10}}
    found, _ = measured(
        {"layers": three, "loss": {"name": "sparse_categorical_crossentropy", "from_logits": True}},
        first_bias=[1, -9, 1, -9, 1, -9, 1],
        second_bias=[0, -9, 9, 0.5],
        third_bias=[-9, 9],
        output_bias=np.arange(10) == 3,
    )
    first, second, third, act, output = found["layers"]
    assert (first["dead"], first["saturated"]) == (0.4286, None)
    assert (second["dead"], second["saturated"]) == (None, 0.5)
    assert (third["dead"], third["saturated"], third["gradient"]) == (None, None, 0)
    assert act == {"name": "act", "dead": 0.5, "saturated": 0.5, "gradient": None, "update": None}
    assert (output["dead"], output["saturated"]) == (None, None)
    # All that reaches the outputs is constant.
    assert (found["saturated"], found["most_frequent"], found["spread"]) == (None, 1, 0)


def test_outputs_are_saturated_at_the_ends_of_their_range_and_the_spread_of_targets_is_what_the_loss_sees() -> None:
    found, _ = measured(ONE_SIGMOID | {"layers": layers(outputs=1, output="sigmoid")}, output_bias=[30])
    assert (found["saturated"], found["most_frequent"], found["spread"]) == (1, 1, 0)
    assert found["target_spread"] == symptoms.rounded(float(np.std(DATA.y["train"])))
    one_hot = {"layers": layers(), "targets": "one_hot", "loss": "categorical_crossentropy"}
    found, _ = measured(one_hot, output_bias=30 * np.eye(10)[4])
    assert (found["saturated"], found["most_frequent"]) == (1, 1)
    assert found["target_spread"] == symptoms.rounded(math.sqrt(np.mean(np.var(np.eye(10)[DATA.y["train"]], axis=0))))
    assert measured(one_hot)[0]["saturated"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"layers": layers(l2=0.01, bias_l2=0.1), "class_weight": {0: 2.0, 3: 0.5}},
        {
            "layers": {
                "hidden": {"units": 5, "activation": "selu", "activity_l2": 0.01},
                "norm": {"layer": "BatchNormalization"},
                "drop": {"layer": "Dropout", "rate": 0.5},
                "output": {"units": 10, "activation": "softmax", "l1": 0.01},
            },
            "keras": "3",
        },
    ],
    ids=["penalized", "normalized"],
)
def test_the_gradient_of_a_kernel_is_that_of_plain_keras_in_inference_mode(settings: dict[str, Any]) -> None:
    found, trainer = measured(settings)
    chosen = trainer.network
    model = models.build_model(chosen, DATA.shape)
    for name, variable in models.weights_of(model, chosen).items():
        variable.assign(trainer.weights[name])
    targets = tf.constant(targets_of(chosen, DATA, "train", statistics(chosen, DATA)))
    weight = [(chosen.class_weight or {}).get(label, 1.0) for label in DATA.y["train"].tolist()]
    kernels = [model.get_layer(layer["name"]).kernel.value for layer in chosen.dense]
    with tf.GradientTape() as tape:
        outputs = model(DATA.x["train"], training=False)
        loss = tf.reduce_mean(losses.loss_of(chosen)(targets, outputs) * weight) + tf.add_n(model.losses)
    expected = [norm(gradient.numpy()) for gradient in tape.gradient(loss, kernels)]
    assert [layer["gradient"] for layer in found["layers"]] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", ["sgd", "nadam"])
def test_the_update_is_the_step_that_the_optimizer_makes_next(name: str) -> None:
    # All examples are in one batch, so an epoch is the step that is measured.
    settings = {
        "batch_size": 70,
        "layers": layers(l2=0.01),
        "optimizer": {"name": name, **OPTIMIZERS[name], "decay": 0.5},
    }
    trainer = Trainer(network(**settings), DATA)
    models.initialize(trainer.model, trainer.network, models.streams(3)[0], {})
    start = {key: variable.numpy() for key, variable in trainer.weights.items()}
    once = trainer.run(3)
    trainer.configure(network(**settings, epochs=2))
    twice = trainer.run(3)
    assert twice.symptoms["first_epoch"] == once.symptoms["first_epoch"] == once.symptoms["end"]
    for moment, before, after in (("start", start, once.weights), ("first_epoch", once.weights, twice.weights)):
        for layer in twice.symptoms[moment]["layers"]:
            kernel = f"{layer['name']}.kernel"
            assert layer["update"] == pytest.approx(
                norm(after[kernel] - before[kernel]) / norm(before[kernel]), rel=1e-3
            )


def test_a_training_without_probes_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    learning = {
        "hidden": {"units": 6, "activation": "relu"},
        "norm": {"layer": "BatchNormalization"},
        "drop": {"layer": "Dropout", "rate": 0.3},
        "output": {"units": 10, "activation": "softmax"},
    }
    rate = {"name": "ExponentialDecay", "initial_learning_rate": 0.01, "decay_steps": 3, "decay_rate": 0.9}
    settings = {"layers": learning, "optimizer": {"name": "nadam", "learning_rate": rate}, "epochs": 4}
    trainer = Trainer(network(**settings), DATA)
    run = trainer.run(3)
    monkeypatch.setattr(Probe, "measure", lambda *_: {})
    without = trainer.run(3)
    assert bits(replace(run, symptoms={})) == bits(replace(without, symptoms={}))
    assert run.symptoms["end"] != run.symptoms["start"]


@pytest.mark.parametrize(
    "settings",
    [{"shuffle": "batches"}, {"steps_per_epoch": 2}, {"batch_size": 70}],
    ids=["batches", "steps", "full_batch"],
)
def test_the_first_loss_that_is_not_finite_is_told_by_its_step(settings: dict[str, Any]) -> None:
    trainer = Trainer(network(**settings, epochs=4), DATA)
    assert trainer.run(0).symptoms["first_not_finite"] is None
    for row in (3, 33, 69):
        x = DATA.x["train"].copy()
        x[row] = np.nan
        trainer.load(replace(DATA, x=DATA.x | {"train": x}))
        epochs = islice(orders.epochs(trainer.network, 70, models.streams(0)[1]), 4)
        batches = [batch for epoch in epochs for batch in in_batches(epoch, trainer.network.batch_size or 0)]
        run = trainer.run(0)
        assert run.symptoms["first_not_finite"] == 1 + next(n for n, batch in enumerate(batches) if row in batch)
        assert run.symptoms["end"]["spread"] is None
        assert [layer["update"] for layer in run.symptoms["end"]["layers"]] == [None, None]


def test_sorted_examples_are_seen_whole() -> None:
    assert symptoms.rows(7).tolist() == list(range(7))
    assert symptoms.rows(60_000).tolist() == list(range(0, 60_000, 60))
    assert len(set(symptoms.rows(1001).tolist())) == 1000


RANDOM = np.random.default_rng(7)
CLASSES = RANDOM.integers(0, 3, 50)
PRINTED: dict[str, tuple[np.ndarray, int]] = {
    "logits": (CLASSES > 0, 1),
    "signs": (np.where(CLASSES > 0, 1, -1), 1),
    "signs_in_a_column": (np.where(CLASSES > 0, 1, -1)[:, np.newaxis], 1),
    "classes_of_one_output": (CLASSES, 1),
    "labels": (RANDOM.integers(0, 2, (50, 3)), 3),
    "labels_of_one_output": (RANDOM.integers(0, 2, (50, 3)), 1),
    "values": (RANDOM.normal(size=(50, 1)), 1),
    "several_values": (RANDOM.normal(size=(50, 3)), 3),
    "one_hot": (np.eye(3)[CLASSES], 3),
    "integers": (CLASSES, 3),
    "integers_in_a_column": (CLASSES[:, np.newaxis], 3),
    "classes_beyond_the_outputs": (CLASSES * 2, 3),
}


@pytest.mark.parametrize("name", PRINTED)
def test_the_accuracy_of_keras_is_what_keras_prints(name: str) -> None:
    given, units = PRINTED[name]
    targets, outputs = given.astype(np.float32), RANDOM.normal(0.4, 1, (50, units)).astype(np.float32)
    model = keras.Sequential([keras.Input((units,)), keras.layers.Activation("linear")])
    model.compile(
        loss=lambda targets, outputs: keras.ops.mean(outputs**2, axis=-1), metrics=["accuracy"], run_eagerly=True
    )
    printed = model.evaluate(outputs, targets, verbose=0, return_dict=True)["accuracy"]
    assert scoring.keras_accuracy(targets, outputs) == pytest.approx(printed, rel=1e-6)
