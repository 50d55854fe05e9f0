"""Losses have the values and gradients of Keras 2.2.4 or of Keras 3, whichever a network names."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from samples import ONE_SIGMOID, TNC, network
from scipy.special import expit, log_softmax, logsumexp, softmax

from stages.data.prepared import Facts, Prepared
from stages.training import losses
from stages.training.answers import statistics, targets_of
from stages.training.keras import keras, tf

Array = NDArray[np.float64]
CLASSES = np.arange(10)

# Keras 2.2.4, keras/backend/tensorflow_backend.py: epsilon is rounded to the dtype of the outputs before it clips.
EPSILON = np.float32(1e-7)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def clip(outputs: NDArray[np.float32]) -> Array:
    return np.asarray(np.clip(outputs, EPSILON, np.float32(1) - EPSILON), np.float64)


def keras_2_2_binary(targets: Array, outputs: NDArray[np.float32]) -> Array:
    """K.mean(K.binary_crossentropy(target, output)), which is a loss of logits."""
    logits = np.log(clip(outputs) / (1 - clip(outputs)))
    costs = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    return np.asarray(np.mean(costs, axis=-1))


def keras_2_2_categorical(targets: Array, outputs: NDArray[np.float32]) -> Array:
    """K.categorical_crossentropy: divide by the sum, clip, - sum(target * log(output))."""
    return np.asarray(-np.sum(targets * np.log(clip(outputs / outputs.sum(axis=-1, keepdims=True))), axis=-1))


def keras_2_2_sparse(labels: NDArray[np.int32], outputs: NDArray[np.float32]) -> Array:
    """K.sparse_categorical_crossentropy: softmax cross-entropy whose logits are the logarithms."""
    logits = np.log(clip(outputs))
    return np.asarray(logsumexp(logits, axis=-1) - logits[np.arange(len(labels)), labels])


def sigmoid_outputs(n: int, units: int) -> NDArray[np.float32]:
    """Return outputs from near 0 to near 1; the first row is exactly 0, the second exactly 1."""
    outputs = np.asarray(expit(random().normal(0, 6, (n, units))), np.float32)
    outputs[0], outputs[1] = 0, 1
    return outputs


def softmax_outputs(n: int) -> NDArray[np.float32]:
    """Return probabilities of ten classes; two rows have a probability of exactly 1."""
    outputs = np.asarray(softmax(random().normal(0, 6, (n, 10)), axis=-1), np.float32)
    outputs[0], outputs[1] = CLASSES == 3, CLASSES == 4
    return outputs


def one_hot(labels: NDArray[np.integer[Any]]) -> Array:
    return np.asarray(labels[:, None] == CLASSES, np.float64)


def value(name: str, targets: np.ndarray, outputs: np.ndarray) -> Array:
    targets = targets.astype(np.float32) if targets.dtype == np.float64 else targets
    return np.asarray(losses.LOSSES_2_2[name](tf.constant(targets), tf.constant(outputs)), np.float64)


def gradient(name: str, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    outputs = tf.constant(outputs, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = tf.reduce_sum(losses.LOSSES_2_2[name](tf.constant(targets), outputs))
    found: np.ndarray = tape.gradient(total, outputs).numpy()
    return found


LABELS = random().integers(0, 10, 400).astype(np.int32)
MANY_LABELS = random().integers(0, 10, (400, 10)).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "reference", "targets", "outputs", "tolerance"),
    [
        ("binary_crossentropy", keras_2_2_binary, MANY_LABELS[:, :1], sigmoid_outputs(400, 1), 3e-6),
        ("binary_crossentropy", keras_2_2_binary, MANY_LABELS, sigmoid_outputs(400, 10), 3e-6),
        ("categorical_crossentropy", keras_2_2_categorical, one_hot(LABELS), softmax_outputs(400), 3e-7),
        ("categorical_crossentropy", keras_2_2_categorical, one_hot(LABELS)[1:], sigmoid_outputs(400, 10)[1:], 3e-7),
        ("sparse_categorical_crossentropy", keras_2_2_sparse, LABELS, softmax_outputs(400), 3e-7),
    ],
)
def test_a_loss_under_keras_2_2_has_the_values_of_its_source(
    name: str, reference: Callable[..., Array], targets: np.ndarray, outputs: np.ndarray, tolerance: float
) -> None:
    found = value(name, targets, outputs)
    assert found.shape == (len(targets),)
    np.testing.assert_allclose(found, reference(targets, outputs), rtol=3e-6, atol=tolerance)


def test_an_output_of_exactly_1_costs_15_942385_times_1_minus_the_label() -> None:
    # The posted loss of -55.0284 is the mean of these.
    labels = np.arange(10.0)
    found = value("binary_crossentropy", labels[:, None], np.ones((10, 1), np.float32))
    np.testing.assert_allclose(found, 15.942385 * (1 - labels), rtol=1e-7, atol=1.2e-7)


def test_a_clipped_sigmoid_has_no_gradient_and_so_never_recovers_under_keras_2_2() -> None:
    outputs = np.array([[1.0], [1 - 1e-8], [0.0], [5e-8], [0.5], [0.999]])
    found = gradient("binary_crossentropy", np.full((6, 1), 7.0, np.float32), outputs)
    assert (found[:4] == 0).all()
    # (p - y) / (p (1 - p)) for the two that are not clipped.
    p = outputs[4:]
    np.testing.assert_allclose(found[4:], (p - 7) / (p * (1 - p)), rtol=1e-4)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_a_class_of_probability_0_costs_the_logarithm_of_epsilon_and_has_no_gradient_under_keras_2_2(name: str) -> None:
    labels = np.array([3, 5], np.int32)
    targets = labels if name.startswith("sparse") else one_hot(labels).astype(np.float32)
    outputs = np.array([CLASSES == 4, np.full(10, 0.1)], np.float32)
    np.testing.assert_allclose(value(name, targets, outputs)[0], -np.log(1e-7), rtol=1e-6)
    found = gradient(name, targets, outputs)
    assert (found[0] == 0).all()
    assert found[1, 5] < -1


@pytest.mark.parametrize("label", [0, 1, 5])
def test_a_saturated_sigmoid_has_a_loss_without_bound_under_keras_3(label: int) -> None:
    loss = losses.loss_of(network(**ONE_SIGMOID, keras="3"))
    for logit in (50.0, 5000.0):
        outputs = keras.activations.sigmoid(tf.constant([[logit]], tf.float32))
        found = loss(tf.constant([[label]], tf.float32), outputs).numpy()
        np.testing.assert_allclose(found, [logit * (1 - label)], rtol=1e-6, atol=1e-6)


def test_crossentropy_of_sigmoids_is_that_of_a_softmax_of_their_logits_under_keras_3_but_not_2_2() -> None:
    logits = random().normal(0, 3, (50, 10)).astype(np.float32)
    targets = one_hot(random().integers(0, 10, 50)).astype(np.float32)
    outputs = keras.activations.sigmoid(tf.constant(logits))
    of_softmax = -np.sum(targets * log_softmax(logits.astype(np.float64), axis=-1), axis=-1)
    today = keras.losses.categorical_crossentropy(tf.constant(targets), outputs).numpy()
    np.testing.assert_allclose(today, of_softmax, rtol=1e-5)
    posted = losses.categorical_crossentropy_2_2(tf.constant(targets), outputs).numpy()
    assert np.median(np.abs(posted / of_softmax - 1)) > 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("version", ["2.2", "3"])
def test_summed_binary_crossentropy_is_the_cost_of_the_exercise(dtype: type[np.floating[Any]], version: str) -> None:
    logits = random().normal(0, 4, (60, 10)).astype(dtype)
    y = one_hot(random().integers(0, 10, 60))
    h = expit(logits.astype(np.float64))
    expected = np.sum(-y * np.log(h) - (1 - y) * np.log(1 - h), axis=1)
    outputs = keras.activations.sigmoid(tf.constant(logits))
    found = losses.loss_of(network(**TNC, keras=version))(tf.constant(y.astype(dtype)), outputs).numpy()
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-9)


def test_a_loss_with_settings_of_its_own_is_that_of_keras_3() -> None:
    smoothed = network(loss={"name": "categorical_crossentropy", "label_smoothing": 0.1}, targets="one_hot")
    assert losses.loss_of(smoothed) != losses.categorical_crossentropy_2_2
    assert losses.loss_of(network(loss="categorical_crossentropy")) == losses.categorical_crossentropy_2_2


def test_targets_are_what_the_file_has_the_index_of_the_class_or_one_hot() -> None:
    labels = np.array([0, 2, 1], np.uint8)
    facts = Facts(task="multiclass", classes=["-1", "5", "7"], values=[-1.0, 5.0, 7.0])
    data = Prepared({"train": np.zeros((3, 2), np.float32)}, {"train": labels}, facts)
    rows = [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    for how, dtype, expected in (("raw", "float32", [-1, 7, 5]), ("integer", "float32", [0, 2, 1])):
        settings = network(targets=how)
        targets = targets_of(settings, data, "train", statistics(settings, data))
        assert (str(targets.dtype), targets.tolist()) == (dtype, expected)
    for chosen, dtype in (({"targets": "one_hot"}, "float32"), (TNC, "float64")):
        settings = network(**chosen)
        targets = targets_of(settings, data, "train", statistics(settings, data))
        assert (str(targets.dtype), targets.tolist()) == (dtype, rows)
