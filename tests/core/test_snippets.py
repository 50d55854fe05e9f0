import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core import params, snippets
from stages.core.scripts import Problem

SNIPPETS = Path(__file__).parents[1] / "snippets"
POSTED = {path.stem: path.read_text(encoding="utf-8") for path in sorted(SNIPPETS.glob("*.py"))}

# Every way to write it that a test varies stands alone in a line.
SCRIPT = """\
from keras.models import Sequential
from keras.layers import Dense, Activation
model = Sequential()
model.add(Dense(64, activation='relu', input_shape=(784,)))
model.add(Dense(10, activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='sgd')
model.fit(X, y)
"""
RUN: dict[str, Any] = {
    "input_scale": 1.0,
    "hidden_units": [64],
    "hidden_activation": "relu",
    "output_units": 10,
    "output_activation": "softmax",
    "initializer": {"name": "glorot_uniform"},
    "loss": "categorical_crossentropy",
    "keras_semantics": "2.2",
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "l2": 0.0,
    "batch_size": 32,
    "epochs": 1,
}


def script(*changes: tuple[int, str]) -> str:
    """`SCRIPT` with other text in the lines of these numbers."""
    lines = SCRIPT.splitlines()
    for line, text in changes:
        lines[line - 1] = text
    return "\n".join(lines)


def problems(text: str, width: int | None = None) -> list[Problem]:
    with pytest.raises(snippets.UnreadableError) as caught:
        snippets.read(text, width)
    return caught.value.problems


def whats(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.what) for problem in problems(text)]


@pytest.mark.parametrize("case", ["mnist", "ex4"])
def test_the_snippets_of_the_posts_are_the_cases_as_posted(case: str, settings: params.Params) -> None:
    snippet = snippets.read(POSTED[case])
    assert params.RunConfig.model_validate(snippet.run) == settings.cases[case].as_posted
    assert list(snippet.run) == list(params.RunConfig.model_fields)
    assert snippet.width == {"mnist": 784, "ex4": 400}[case]


def test_the_snippets_of_the_posts_name_their_source_and_licence(settings: params.Params) -> None:
    assert POSTED.keys() == {"mnist", "ex4"}
    for case, text in POSTED.items():
        source, licence, changed = text.splitlines()[:3]
        assert settings.cases[case].source in source
        assert "CC BY-SA 4.0" in licence
        assert changed.startswith("# Changed: ")


DENSE = "model.add(Dense(64, activation='relu', input_shape=(784,), {}))"
BOTH = "model.add(Dense(10, activation='softmax', {}))"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], {}),
        ([(4, "model.add(Dense(64, input_dim=28 * 28)); model.add(Activation('relu'))")], {}),
        ([(4, "model.add(Dense(64, input_dim=784)); model.add(layers.ReLU())")], {}),
        ([(5, "model.add(Dense(10)); model.add(Activation('softmax'))")], {}),
        ([(5, "model.add(Dense(units=10, activation=tf.nn.softmax)); model.add(Activation('linear'))")], {}),
        ([(4, "model.add(Dense(output_dim=64, init='glorot_uniform', activation='relu', input_dim=784))")], {}),
        ([(4, "model.add(Flatten(input_shape=(28, 28))); model.add(Dense(64, 'relu'))")], {}),
        ([(4, "model.add(InputLayer(batch_input_shape=(None, 784))); model.add(Dense(64, 'relu'))")], {}),
        ([(4, ""), (5, "model.add(Dense(10, 'softmax'))")], {"hidden_units": [], "hidden_activation": "linear"}),
        ([(4, "model.add(Dense(1, activation='tanh'))")], {"hidden_units": [1], "hidden_activation": "tanh"}),
        (
            [(4, "n = (64, 32)\nfor_ = [model.add(Dense(n[0], 'relu')), model.add(Dense(n[1], 'relu'))]")],
            {"hidden_units": [64, 32]},
        ),
        (
            [
                (5, "model.add(Dense(1, activation='sigmoid'))"),
                (6, "model.compile('sgd', 'binary_crossentropy', ['acc'])"),
            ],
            {"output_units": 1, "output_activation": "sigmoid", "loss": "binary_crossentropy"},
        ),
        (
            [
                (4, DENSE.format("kernel_regularizer=l2(0.5)")),
                (5, BOTH.format("kernel_regularizer=regularizers.l2(l=0.5)")),
            ],
            {"l2": 0.5},
        ),
        (
            [
                (4, DENSE.format("kernel_regularizer='l2'")),
                (5, BOTH.format("kernel_regularizer=keras.regularizers.L2()")),
            ],
            {"l2": 0.01},
        ),
        (
            [(4, DENSE.format("kernel_regularizer=l1_l2(0, 2)")), (5, BOTH.format("kernel_regularizer=L2(l2=2)"))],
            {"l2": 2.0},
        ),
        (
            [
                (
                    line,
                    text.format("kernel_initializer=RandomUniform(-0.1, 0.1), bias_initializer=RandomUniform(-.1, .1)"),
                )
                for line, text in ((4, DENSE), (5, BOTH))
            ],
            {"initializer": {"name": "uniform", "limit": 0.1}},
        ),
        (
            [
                (
                    4,
                    DENSE.format(
                        "kernel_initializer=GlorotUniform(seed=1), bias_initializer='zeros', use_bias=True, name='a'"
                    ),
                )
            ],
            {},
        ),
        (
            [(6, "model.compile(loss='categorical_crossentropy', optimizer=SGD(lr=0.1))")],
            {"optimizer": {"name": "sgd", "learning_rate": 0.1}},
        ),
        (
            [(6, "model.compile(keras.optimizers.Adam(1e-2), 'categorical_crossentropy')")],
            {"optimizer": {"name": "adam", "learning_rate": 0.01}},
        ),
        (
            [
                (
                    6,
                    "o = Adam(beta_1=0.9, epsilon=None)\nmodel.compile(o, keras.losses.categorical_crossentropy)",
                )
            ],
            {"optimizer": {"name": "adam", "learning_rate": 0.001}},
        ),
        (
            [(6, "model.compile(loss='sparse_categorical_crossentropy', optimizer='SGD', metrics=['accuracy'])")],
            {"loss": "sparse_categorical_crossentropy"},
        ),
        (
            [(7, "model.fit(x=X, y=y, batch_size=7, nb_epoch=3, verbose=0, shuffle=True, callbacks=[])")],
            {"batch_size": 7, "epochs": 3},
        ),
        ([(7, "h = model.fit(X, y, 16, 4)")], {"batch_size": 16, "epochs": 4}),
        ([(7, "model.fit(X / 255, to_categorical(y), batch_size=None)")], {"input_scale": 1 / 255}),
        (
            [(7, "X = X.reshape(60000, 784).astype('float32')\nX /= 255\nmodel.fit(X, y)\nX = X - 1")],
            {"input_scale": 1 / 255},
        ),
        (
            [(4, "model.add(Rescaling(1. / 255)); model.add(Dense(64, 'relu'))")],
            {"input_scale": 1 / 255, "keras_semantics": "3"},
        ),
        (
            [(4, "model.add(Rescaling(scale=0.5)); model.add(Dense(64, 'relu'))"), (7, "model.fit(0.5 * X, y)")],
            {"input_scale": 0.25, "keras_semantics": "3"},
        ),
    ],
)
def test_a_script_is_read_as_keras_reads_it(changes: list[tuple[int, str]], expected: dict[str, Any]) -> None:
    found = snippets.read(script(*changes)).run
    assert {**found, "keras_semantics": expected.get("keras_semantics", "2.2")} == RUN | expected
    params.RunConfig.model_validate(found)


@pytest.mark.parametrize(
    ("changes", "line", "what"),
    [
        ([(4, "model.add(Conv2D(8, 3))")], 4, "Conv2D: not a layer that whichfix trains"),
        ([(4, "model.add(layer_of_mine)")], 4, "model.add(layer_of_mine): a layer that is not read"),
        ([(4, "model.add(Dense(64, 'relu', use_bias=False))")], 4, "Dense: use_bias=False"),
        (
            [(4, "model.add(Dense(64, 'relu', kernel_constraint=max_norm(1)))")],
            4,
            "Dense: kernel_constraint=max_norm(...)",
        ),
        ([(4, "model.add(Dense(64, 'relu', **settings))")], 4, "Dense: **=: not an argument that is read"),
        ([(4, "model.add(Dense(64, 'elu'))")], 4, "activation 'elu'"),
        ([(4, "model.add(Dense(n, 'relu'))")], 4, "Dense: units n"),
        ([(4, "model.add(Dense(64, 'relu', kernel_regularizer=l2(1)))")], 5, "l2 0.0 of a layer after 1.0"),
        ([(4, "model.add(Dense(64, 'relu', kernel_regularizer=l1(1)))")], 4, "kernel_regularizer l1(...)"),
        ([(4, "model.add(Dense(64, 'relu', kernel_initializer='he_normal'))")], 4, "kernel_initializer 'he_normal'"),
        ([(4, "model.add(Dense(64, 'relu', bias_initializer='ones'))")], 4, "bias_initializer 'ones'"),
        (
            [(4, "model.add(Dense(8, 'relu')); model.add(Dense(8, 'tanh'))")],
            4,
            "activation tanh of a hidden layer after relu",
        ),
        (
            [(5, "model.add(Dense(10, 'softmax')); model.add(Activation('softmax'))")],
            5,
            "softmax after softmax, with no Dense between",
        ),
        ([(5, "model.add(Dense(11, 'softmax'))")], 5, "output_units: 11"),
        ([(5, "model.add(Dense(10))")], 5, 'output_activation: "linear"'),
        (
            [(4, "model.add(Dense(64, 'relu', input_shape=(28, 28)))")],
            4,
            "examples of shape (28, 28) and no Flatten: Dense would be of their last axis alone",
        ),
        ([(4, "model.add(Dense(64, 'relu', input_dim=400))")], 4, "a network of 400 inputs"),
        ([(4, "model.add(Rescaling(1, offset=-1))")], 4, "Rescaling: offset=-1"),
        ([(6, "")], 7, "a model without compile before fit"),
        ([(6, "model.compile(loss='categorical_crossentropy')")], 6, "optimizer 'rmsprop'"),
        ([(6, "model.compile(SGD(0.1, momentum=0.9), 'categorical_crossentropy')")], 6, "sgd: momentum=0.9"),
        ([(6, "model.compile(SGD(lr=0), 'categorical_crossentropy')")], 6, "optimizer.learning_rate: 0.0"),
        (
            [(6, "model.compile(Adam(ExponentialDecay(1, 2, 3)), 'categorical_crossentropy')")],
            6,
            "adam: learning_rate ExponentialDecay(...)",
        ),
        ([(6, "model.compile('sgd', 'mse')")], 6, "loss 'mse'"),
        ([(6, "model.compile('sgd', 'binary_crossentropy')")], 6, "loss binary_crossentropy with output_units 10"),
        ([(6, "model.compile('sgd', CategoricalCrossentropy(from_logits=True))")], 6, "loss: from_logits=True"),
        ([(7, "model.fit(X, y, callbacks=[EarlyStopping()])")], 7, "fit: callbacks=(EarlyStopping(...))"),
        ([(7, "model.fit(X, y, class_weight={0: 2})")], 7, "fit: class_weight=a value that is not read"),
        ([(7, "model.fit(X, y, shuffle=False)")], 7, "fit: shuffle=False"),
        ([(7, "model.fit(X, y, epochs=n)")], 7, "fit: epochs n"),
        ([(7, "model.fit(X, y, epochs=0)")], 7, "epochs: 0"),
        ([(7, "model.fit(0 * X, y)")], 7, "input_scale: 0.0"),
        ([(7, "model.fit(X)")], 7, "fit: without y"),
        ([(7, "model.fit(X, y / 10)")], 7, "fit: labels times 0.1"),
        (
            [(7, "model.fit((X - 3) / 2, y)")],
            7,
            "model.fit((X - 3) / 2, y): what fit has as x is made in a way that is not read",
        ),
        (
            [(7, "model.fit(StandardScaler().fit_transform(X), y)")],
            7,
            "model.fit(StandardScaler().fit_transform(X), y): what fit has as x is made in a way that is not read",
        ),
        ([(7, "")], 7, "no fit of a Sequential up to here"),
    ],
)
def test_what_cannot_be_trained_is_named_by_its_line(changes: list[tuple[int, str]], line: int, what: str) -> None:
    found = problems(script(*changes), 784)
    assert [(problem.line, problem.what) for problem in found] == [(line, what)]
    assert found[0].accepted


# What stands between building and training, with all that it could touch.
BEFORE = """\
from keras.models import Sequential
from keras.layers import Dense
from keras.datasets import mnist
import numpy as np
(x, y), (x_test, y_test) = mnist.load_data()
x = x.reshape(60000, 784).astype('float32') / 255
l = Dense(64, activation='relu', input_shape=(784,))
model = Sequential([l])
model.add(Dense(10, activation='softmax'))
"""
AFTER = """
model.compile(loss='sparse_categorical_crossentropy', optimizer='sgd')
model.fit(x, y)
"""


@pytest.mark.parametrize(
    "text",
    [
        # The model, by other names, or where it is not followed.
        "def more(): model.add(Dense(32))\nmore()",
        "def a(): b()\ndef b(): model.add(Dense(3))\na()",
        "def f():\n  def g(): model.add(Dense(3))\n  g()\nf()",
        "def f(m=model): m.add(Dense(2))\nf()",
        "async def f(): model.add(Dense(2))\nimport asyncio; asyncio.run(f())",
        "@go\ndef more(): model.add(Dense(3))",
        "if True:\n  def more(): model.add(Dense(32))\nmore()",
        "class A:\n  def go(self): model.add(Dense(3))\nA().go()",
        "class A: z = model.add(Dense(2))",
        "f = lambda: model.add(Dense(3))\nf()",
        "fs = [lambda: model.add(Dense(3))]\nfs[0]()",
        "np.vectorize(lambda v: model.add(Dense(3)))(3)",
        "add = model.add; add(Dense(32))",
        "list(map(model.add, [Dense(3)]))",
        "[g(Dense(3)) for g in [model.add]]",
        "getattr(model, 'add')(Dense(3))",
        "setattr(model, 'layers', [])",
        "type(model).add(model, Dense(2))",
        "Sequential.add(model, Dense(2))",
        "from functools import partial\npartial(model.add, Dense(2))()",
        "from helper import grow; grow(model)",
        "grow(model)",
        "grow(*[model])",
        "grow(m=(1, model))",
        "for i in y: g(model)",
        "with grow(model): pass",
        "assert model.add(Dense(3)) is None",
        "ms = [model]\nfor m in ms: m.add(Dense(3))",
        "d = {'m': model}; d['m'].add(Dense(2))",
        "s.model = model; s.model.add(Dense(3))",
        "m = Sequential()\nm.add(model)",
        "m = Sequential(model.layers)",
        "exec('model.add(Dense(3))')",
        "globals()['model'].add(Dense(2))",
        "if __name__ != '__main__':\n  model.add(Dense(3))",
        "if __name__ == 'x':\n  model.add(Dense(3))",
        "try:\n  pass\nexcept E:\n  model.add(Dense(2))",
        "match 1:\n  case _: model.add(Dense(3))",
        # What the model has.
        "model.layers.pop()",
        "model.layers[0].set_weights(w)",
        "model.get_layer('a').trainable = False",
        "for k in model.layers: k.trainable = False",
        "del model.layers[0]",
        "model.optimizer.lr = 3",
        "l.trainable = False",
        "k = l; k.trainable = False",
        "for k in [l]: k.trainable = False",
        "def f():\n  l.trainable = False\nf()",
        "setattr(l, 'trainable', False)",
        "l.set_weights(w)",
        "import keras\nkeras.layers.Dense = 3",
        # The data.
        "def scale(): global x; x = x/255\nscale()",
        "def prep(v): v[:] = 0\nprep(x)",
        "def f():\n  v = x\n  v[0] = 1\nf()",
        "def mk(v):\n  def g(): v[:] = 0\n  return g\nmk(x)()",
        "import helper; helper.prep(x)",
        "prep(x[0])",
        "np.divide(x, 255, out=x)",
        "np.divide(x, 255, x)",
        "np.copyto(x, 0)",
        "x.clip(0, 1, x)",
        "x.sort()",
        "s = x.sort; s()",
        "y.fill(0)",
        "x[x > 1] = 0",
        "x.T[0] = 2",
        "v = x[:100]; v /= 255",
        "v = x; v /= 255",
        "v = x.reshape(-1, 28, 28); v *= 2.0",
        "for i in range(3):\n  v = x[i]\n  v /= 255",
        "while True:\n  x /= 2\n  break",
        "s['a'] = x; s['a'] /= 2",
        "x = np.array(x * 255, dtype='uint8')",
        "x = x.reshape(60000, 784, order='F')",
    ],
)
def test_whatever_may_touch_the_model_or_the_data_and_is_not_known_is_refused_by_line(text: str) -> None:
    found = problems(BEFORE + text + AFTER)
    first = BEFORE.count("\n") + 1
    assert all(first <= problem.line <= first + text.count("\n") for problem in found)


@pytest.mark.parametrize(
    "text",
    [
        "print(model.summary(), len(model.layers))",
        "from keras.utils import plot_model\nplot_model(model, to_file='m.png')",
        "def plot(history):\n  plt.plot(history.history['acc'])\n  plt.show()",
        "def accuracy(a, b):\n  return (np.argmax(model.predict(a), 1) == b).mean()",
        "def show(image):\n  plt.imshow(image.reshape(28, 28))\nshow(x[0])",
        "def build():\n  model = Sequential()\n  model.add(Dense(3))\n  return model",
        "class Holder:\n  def __init__(self, model):\n    self.model = model",
        "if __name__ == '__main__':\n  print('training')",
        "import matplotlib.pyplot as plt\nfor i in range(9):\n  plt.imshow(x[i].reshape(28, 28), cmap='gray')",
        "fig, axes = plt.subplots(3, 3)\nfor i in range(9):\n  axes[i].imshow(x[i])\n  axes[i].axis('off')",
        "for i in range(2):\n  print(model.predict(x[i:i+1]))",
        "print(model.get_weights()[0].shape, model.layers[0].get_weights())",
        "print(x.shape, np.unique(y), x.mean(), np.max(x), f'{y[:10]} {model.name}')",
        "x_test = x_test.reshape(10000, 784).astype('float32')\nx_test /= 255",
        "import os, random\nos.environ['A'] = '2'\nrandom.seed(1)\nnp.random.seed(7)\ntf.random.set_seed(3)",
        "plt.rcParams['figure.figsize'] = (3, 3)",
        "with open('a') as f:\n  f.write(model.to_json())",
        "assert x.shape == (60000, 784)",
        "callbacks = []\ncallbacks.append(3)",
    ],
)
def test_what_ordinary_scripts_do_besides_is_passed_over(text: str) -> None:
    expected = snippets.read(BEFORE + AFTER).run
    assert snippets.read(BEFORE + text + AFTER).run == expected


@pytest.mark.parametrize(
    "text",
    [
        "print(model.evaluate(x_test, y_test)[1])",
        "model.save('m.h5')\ndel model",
        "def plot(h):\n  plt.plot(h.history['acc'])\nplot(model.history)",
        "for i in range(3):\n  if model.predict(x_test[i:i+1]).argmax() != y_test[i]:\n    print(i)",
    ],
)
def test_what_ordinary_scripts_do_afterwards_is_passed_over(text: str) -> None:
    assert snippets.read(BEFORE + AFTER + text).run == snippets.read(BEFORE + AFTER).run


COMPILE = "model.compile(loss='categorical_crossentropy', optimizer='sgd')"


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ([(7, "model.fit(X, y); model.add(Dense(3))")], [(7, "add: after fit")]),
        ([(7, "model.fit(X, y)\nmodel.compile('adam', 'mse')")], [(8, "compile: after fit")]),
        (
            [(6, "model.fit(X, y)"), (7, COMPILE)],
            [(6, "a model without compile before fit"), (7, "compile: after fit")],
        ),
        ([(6, f"{COMPILE}; model.add(Dense(3))")], [(6, "add: after compile")]),
    ],
)
def test_what_comes_in_another_order_is_named(changes: list[tuple[int, str]], found: list[tuple[int, str]]) -> None:
    assert whats(script(*changes)) == found


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("x, y_test", ["fit: the labels of the test split as y"]),
        ("x, to_categorical(y_test)", ["fit: the labels of the test split as y"]),
        ("x_test.reshape(10000, 784) / 255, y", ["fit: the images of the test split as x"]),
        (
            "y, x.astype('float32')",
            ["fit: the images of the training split as y", "fit: the labels of the training split as x"],
        ),
        ("X, X", ["fit: the same as x and as y"]),
    ],
)
def test_images_and_labels_test_and_training_split_are_told_apart(given: str, found: list[str]) -> None:
    text = BEFORE.replace(".astype('float32') / 255", "") + AFTER.replace("x, y", given)
    assert whats(text) == [(text.count("\n"), what) for what in found]


def test_all_problems_come_at_once_by_line() -> None:
    text = script(
        (4, "model.add(Conv2D(8))"), (5, "model.add(Dense(11, 'softmax'))"), (6, "model.compile('adagrad', 'mse')")
    )
    assert [line for line, _ in whats(text)] == [4, 5, 6, 6]


def test_the_width_is_that_of_the_dataset_or_unknown() -> None:
    assert snippets.read(SCRIPT, 784).width == 784
    assert snippets.read(script((4, "model.add(Dense(64, 'relu', input_dim=X.shape[1]))")), 400).width is None
    with pytest.raises(snippets.UnreadableError):
        snippets.read(SCRIPT, 400)


@pytest.mark.parametrize(
    ("changes", "expected", "why"),
    [
        ([], "2.2", "line 1 imports keras.models.Sequential"),
        ([(1, ""), (2, "")], "2.2", "nothing in the script is newer"),
        (
            [(1, "from tensorflow.keras.models import Sequential")],
            "3",
            "line 1 imports tensorflow.keras.models.Sequential",
        ),
        (
            [(1, "import tensorflow as tf"), (3, "model = tf.keras.Sequential()")],
            "3",
            "line 3 has tensorflow.keras.Sequential",
        ),
        # For its session or its seed.
        ([(1, "import tensorflow as tf")], "2.2", "line 2 imports keras.layers.Dense"),
        ([(3, "model = Sequential(); model.add(keras.Input((784,)))")], "3", "line 3 has Input(...) in a Sequential"),
        ([(6, "model.compile(SGD(learning_rate=1), 'categorical_crossentropy')")], "3", "line 6 has learning_rate="),
        ([(6, "model.compile(SGD(lr=1), 'categorical_crossentropy')")], "2.2", "line 6 has lr="),
        ([(7, "model.fit(X, y, nb_epoch=3)")], "2.2", "line 7 has nb_epoch="),
        (
            [(1, "from keras.layers.core import Dense"), (6, "model.compile('sgd', CategoricalCrossentropy())")],
            "2.2",
            "line 1 imports keras.layers.core.Dense",
        ),
        ([(6, "model.compile('sgd', CategoricalCrossentropy())")], "3", "line 6 has CategoricalCrossentropy"),
    ],
)
def test_the_version_of_keras_is_told_by_what_the_script_uses(
    changes: list[tuple[int, str]], expected: str, why: str
) -> None:
    snippet = snippets.read(script(*changes))
    assert (snippet.run["keras_semantics"], snippet.semantics) == (expected, why)


def test_the_version_of_keras_that_is_given_is_taken() -> None:
    snippet = snippets.read(SCRIPT, semantics="3")
    assert (snippet.run["keras_semantics"], snippet.semantics) == ("3", "given with --keras-semantics")


def test_what_keras_assumes_is_told() -> None:
    assert snippets.read(SCRIPT).assumed == (
        "no penalty on weights",
        "weights drawn as glorot_uniform",
        "sgd's learning_rate 0.01",
        "batch_size 32",
        "epochs 1",
    )


def test_validation_data_is_told() -> None:
    assert snippets.read(SCRIPT).validation is None
    shares = snippets.read(script((7, "model.fit(X, y, validation_split=0.2)")))
    assert (shares.validation, shares.validation_split) == ("validation_split 0.2", 0.2)
    assert snippets.read(script((7, "model.fit(X, y, validation_data=(a, b))"))).validation == "validation_data"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model = Sequential(\n", 1),
        ("x = 1\nprint 'a'\n", 2),
        ("x = 1\n%matplotlib inline\n", 2),
        ("\0", 1),
        ("x = 1\n\0", 1),
        ("x = '\\N{nothing}'", 1),
        ("x = " + "1" * 5000, 1),
        ("x = " + "(" * 1000 + ")" * 1000, 1),
        ("x = " + "-" * 100_000 + "1", 1),
        ("x = 1" + "+1" * 90_000, 1),
        ("x = " + "[" * 90 + "]" * 90 + ".a" * 90_000, 1),
        ("x = " + "f(" * 90 + ")" * 90 + "()" * 90_000, 1),
        ("".join(" " * depth + "if x:\n" for depth in range(99)) + " " * 99 + "x = 1", 99),
    ],
    ids=range(13),
)
def test_what_is_no_python_or_nested_too_deeply_is_one_problem(text: str, line: int) -> None:
    (problem,) = problems(text)
    assert problem.line <= max(line, 100)
    assert len(problem.what.splitlines()) == 1


PIECES = [
    *(
        "model.add(",
        "Dense(64, ",
        "activation=",
        "'relu'",
        "input_shape=(784,)",
        ")",
        "(",
        "[",
        "]",
        ",",
        "=",
        "\n",
        " ",
        "    ",
    ),
    *(
        "X",
        "y",
        "X /= 255",
        "model",
        "model.fit(X, y)",
        "Sequential()",
        "None",
        "1e999",
        "-1",
        "0",
        "10**400",
        "**x",
        "*x",
        "lambda: 0",
    ),
    *(
        "for i in x:\n    ",
        "if x:\n    ",
        "def f():\n    ",
        "class A:\n    ",
        "try:\n    ",
        "del X",
        "import os",
        "\0",
        "é",
        "'''",
        "#",
    ),
    *(
        "x.y.z",
        "(a := 1)",
        "[i for i in X]",
        "{1: 2}",
        "f'{X}'",
        "X[0]",
        "X[..., None]",
        "X.shape",
        "...",
        "\u202e",
        "\\",
        "9**9**9",
    ),
]
# What would be seen if any of it ran.
TRAP = "import sys\nsys.stdout.write('ran')\nopen('ran', 'w').write('ran')\nraise SystemExit('ran')\n"


def mutants(count: int) -> Iterator[str]:
    random = Random(0)
    for _ in range(count):
        text = random.choice([*POSTED.values(), SCRIPT])
        for _ in range(random.randint(1, 6)):
            place, end = sorted(random.randint(0, len(text)) for _ in range(2))
            change = random.randint(0, 3)
            if change == 0:
                text = text[:place] + random.choice(PIECES) + text[place:]
            elif change == 1:
                text = text[:place] + text[min(end, place + 9) :]
            elif change == 2:
                text = text[:place] + text[place:end] * 2 + text[end:]
            else:
                parts = text.split("\n")
                random.shuffle(parts)
                text = "\n".join(parts)
        yield text


def check(text: str) -> bool:
    """Whether `text` is read; either way what comes of it is whole."""
    found: list[Problem] = []
    try:
        params.RunConfig.model_validate(snippets.read(text, 784).run)
    except snippets.UnreadableError as error:
        found = error.problems
    for problem in found:
        assert 1 <= problem.line <= len(re.findall(r"\r\n?|\n", text)) + 1
        assert (problem.what + problem.accepted).isprintable()
    return not found


def test_a_garbled_script_is_read_or_refused_with_lines_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    read = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for text in mutants(1500):
            read += check(TRAP + text)
    assert 0 < read < 1500
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@settings(deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *SCRIPT.splitlines(keepends=True)]), max_size=12).map("".join))
def test_pieces_of_scripts_in_any_order_are_read_or_refused(text: str) -> None:
    check(text)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    check(text)


def test_reading_imports_nothing_of_the_script() -> None:
    program = (
        "import sys; from stages.core import snippets; before = set(sys.modules); snippets.read(sys.argv[1]);"
        "print(*(set(sys.modules) - before))"
    )
    text = "import this, antigravity, turtle\n" + SCRIPT
    command = [sys.executable, "-c", program, text]
    ended = subprocess.run(command, cwd=SNIPPETS.parents[1], capture_output=True, text=True, check=True)
    assert not {"this", "antigravity", "turtle", "keras", "tensorflow"} & set(ended.stdout.split())
