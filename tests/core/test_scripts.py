import ast
from typing import Any

import pytest

from stages.core import scripts
from stages.core.scripts import Array, Made, Problem, Reader, Ref, Unknown


def followed(text: str) -> Reader:
    reader = Reader(text.split("\n"))
    reader.run(ast.parse(text).body)
    return reader


def value(text: str) -> Any:
    """What the name `a` is bound to after `text`."""
    return followed(text).names["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 28 * 28", 784),
        ("a = 1 / 255.", 1 / 255),
        ("b = c = (2, 3)\na = b[-1]", 3),
        ("b, (a, c) = 1, [2, 3]", 2),
        ("a: int = -4 ** 2", -16),
        ("a = 5\na *= 2", 10),
        ("a = (b := 3) + b", 6),
        ("a = int(7.5) + len((1, 2)) + float(1)", 10.0),
        ("import numpy as np\na = np.prod((28, 28))", 784),
        ("if __name__ == '__main__':\n    a = 1", 1),
        ("with open('x') as f:\n    a = 1", 1),
        ("try:\n    a = 1\nexcept ImportError:\n    b = 2", 1),
        # Not followed, or too large for any network.
        ("a = 9 ** 9 ** 9", Unknown(1)),
        ("a = 10 ** 400", Unknown(1)),
        ("a = 1 / 0", Unknown(1)),
        ("a = 1e999", Unknown(1)),
        ("a = 'x' * 10", Unknown(1)),
        ("a = 1\nfor a in range(3):\n    pass", Unknown(2)),
        ("a = 1\nif b:\n    a = 2", Unknown(3)),
        ("a = [1]\na.append(2)", Unknown(2)),
        ("a, b = (1, 2, 3)", Unknown(1)),
        ("a = 1\ndel a", Unknown(2)),
        ("a = [1]\nb = a\nb.append(2)", Unknown(3)),
        ("a = 1\ndef f():\n    a = 2\nf()", 1),
        ("a = 1\ndef f():\n    global a\n    a = 2\nf()", Unknown(4)),
    ],
)
def test_names_are_followed(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("import tensorflow as tf\na = tf.keras.layers.Dense", "tensorflow.keras.layers.Dense"),
        ("import keras.layers\na = keras.layers.Dense", "keras.layers.Dense"),
        ("import keras.layers as layers\na = layers.Dense", "keras.layers.Dense"),
        ("from tensorflow import keras\na = keras.Sequential", "tensorflow.keras.Sequential"),
        ("from keras import layers as L\nb = L\na = b.Dense", "keras.layers.Dense"),
        ("try:\n    from keras.layers import Dense as a\nexcept ImportError:\n    pass", "keras.layers.Dense"),
    ],
)
def test_imports_are_followed_by_whatever_name(text: str, path: str) -> None:
    assert value(text) == Ref(path, bound=True)


LOADED = "from keras.datasets import mnist\n(x, y), (_, _) = mnist.load_data()\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = x", Array(shape=(60_000, 28, 28))),
        ("a = x.reshape(x.shape[0], x.shape[1] * x.shape[2])", Array(shape=(60_000, 784))),
        ("a = x.reshape(-1, 28 * 28)", Array(shape=(60_000, 784))),
        ("a = x.reshape((60000, -1)).astype('float32')", Array(shape=(60_000, 784))),
        ("a = x.reshape(60000, 28, 28, 1)", Array(shape=(60_000, 28, 28, 1))),
        ("import numpy as np\na = np.expand_dims(np.array(x), -1)", Array(shape=(60_000, 28, 28, 1))),
        ("a = x[..., tf.newaxis]", Array(shape=(60_000, 28, 28, 1))),
        ("a = x[:, :, :, None]", Array(shape=(60_000, 28, 28, 1))),
        ("a = x / 255", Array(1 / 255, (60_000, 28, 28))),
        ("a = tf.cast(x, tf.float32) / 255.0", Array(1 / 255, (60_000, 28, 28))),
        ("a = (1 / 255.) * x.astype(np.float32)", Array(1 / 255, (60_000, 28, 28))),
        ("a = x\na /= 255", Array(1 / 255, (60_000, 28, 28))),
        ("a = keras.utils.to_categorical(y, 10)", Array(shape=(60_000, 10))),
        ("a = to_categorical(y).shape[1]", 10),
        ("a = len(x)", 60_000),
        ("a = X.astype('float32') / 2", Array(0.5)),
        ("a = scipy.io.loadmat('ex4data1.mat')['X']", Array()),
        ("a, b = fetch_openml('mnist_784', return_X_y=True)", Array(loaded=True)),
        ("a = x * 2.0", Array(2, (60_000, 28, 28))),
        ("a = x.astype('float32') * 2", Array(2, (60_000, 28, 28))),
        ("a = np.array(x, dtype='float32')", Array(shape=(60_000, 28, 28))),
        # NumPy's uint8 goes from 255 to 0.
        ("a = x * 2", Unknown(3)),
        ("a = 2 * x", Unknown(3)),
        ("a = x\na *= 2", Unknown(4)),
        ("a = x / 255 * 255\na = a.astype('uint8')", Unknown(4)),
        # What is not the data any more, or not each example.
        ("a = x - 127", Unknown(3)),
        ("a = 255 / x", Unknown(3)),
        ("a = x[:1000]", Unknown(3)),
        ("a = x.T", Unknown(3)),
        ("a = x.reshape(784, -1)", Unknown(3)),
        ("a = (x / 255).astype('uint8')", Unknown(3)),
        ("a = tf.keras.utils.normalize(x, axis=1)", "Made"),
        ("a = x\na[a > 100] = 1", Unknown(4)),
        ("a = x\nnp.random.shuffle(a)", Unknown(4)),
        ("a = x\nfor i in range(3):\n    a[i] /= 2", Unknown(5)),
        ("a = y == 5", Unknown(3)),
        ("(a, b), c = fashion_mnist.load_data()", Unknown(3)),
    ],
)
def test_arrays_are_followed_while_each_example_stays_itself(text: str, expected: Any) -> None:
    found = value(LOADED + text)
    assert (type(found).__name__ if expected == "Made" else found) == expected


def test_a_model_is_the_same_by_whatever_name() -> None:
    reader = followed(
        "m = Sequential([Dense(1)])\nn = m\nn.add(Dense(2))\nm.compile('adam', loss='x')\nh = n.fit(X, y)"
    )
    (model,) = reader.models
    assert [layer.line for layer in model.layers] == [1, 3]
    assert isinstance(model.layers[0].value, Made)
    assert model.compiled
    assert model.compiled[1]["loss"].value == "x"
    assert model.fitted
    assert model.fitted[0] == 5
    assert reader.problems == []


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("for i in range(2):\n    m.add(Dense(1))", 3, "m.add(...) inside of what is not followed"),
        ("h = {'a': m.fit(X, y)}", 2, "m.fit(...) inside of what is not followed"),
        ("m.fit(X, y)\nm.fit(X, y)", 3, "fit: a second one"),
        ("m.train_on_batch(X, y)", 2, "train_on_batch: not a method of a model that is read"),
        ("m.layers[0].trainable = False", 2, "m.layers[0].trainable = False: sets a part of the model"),
        ("K.set_value(m.optimizer.lr, 0.1)", 2, "K.set_value(m.optimizer.lr, 0.1): changes how networks are computed"),
        ("def f(m): pass\nf(m)", 3, "f(m): what is not followed is given the model"),
        ("n = Model(a, b)\nn.compile('adam')", 2, "Model: not a model that whichfix reads"),
    ],
)
def test_what_may_change_a_model_and_is_not_followed_is_a_problem(text: str, line: int, what: str) -> None:
    reader = followed(f"m = Sequential()\n{text}")
    assert [(problem.line, problem.what) for problem in reader.problems] == [(line, what)]


@pytest.mark.parametrize(
    "text",
    [
        "m.summary()",
        "print(m.predict(X)[0], X.shape)",
        "plt.imshow(X[0].reshape(28, 28))",
        "score = m.evaluate(X, y)",
        "for i in range(3):\n    plt.plot(m.predict(X)[i])",
        "np.random.seed(1)",
        "def f():\n    return Sequential()",
    ],
)
def test_what_cannot_matter_to_training_is_passed_over(text: str) -> None:
    assert followed(f"import numpy as np\nm = Sequential()\n{text}").problems == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1/255", 1 / 255), ("64, 32", (64, 32)), ("-2", -2), ("x", None), ("", None), ("'a'", None), ("f()", None)],
)
def test_a_number_may_be_an_expression(text: str, expected: Any) -> None:
    assert scripts.constant(text) == expected


def test_problems_are_ordered_by_line() -> None:
    assert sorted([Problem(10, "a", ""), Problem(9, "b", "")])[0].line == 9


def test_text_is_shown_in_one_line_without_what_a_terminal_obeys() -> None:
    assert scripts.plain("a\nb\x1b[31m\u202e" + "c" * 100) == ("a b\\x1b[31m\\u202e" + "c" * 100)[:77] + "..."
