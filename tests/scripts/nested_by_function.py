"""Regression with a body and a head; both come from functions."""
import numpy as np
from keras import Input, Sequential, regularizers
from keras.layers import ELU, Dense, PReLU
from keras.optimizers import Adamax


def body(widths, penalty):
    part = Sequential(name="body")
    for width in widths:
        part.add(Dense(width, kernel_regularizer=regularizers.L2(penalty), bias_initializer="ones"))
        part.add(PReLU())
    part.add(ELU(alpha=0.7))
    return part


def build(n_inputs, widths=(16, 8), penalty=1e-3):
    whole = Sequential([Input((n_inputs,)), body(widths, penalty), Dense(1, kernel_initializer="lecun_normal")])
    whole.compile(loss="mae", optimizer=Adamax(0.02))
    return whole


def waves(n, seed):
    r = np.random.RandomState(seed)
    t = r.uniform(-2, 2, (n, 3))
    return t, np.sin(t[:, 0]) + t[:, 1] * t[:, 2]


if __name__ == "__main__":
    x_train, y_train = waves(360, 0)
    model = build(3)
    model.fit(x_train, y_train, validation_data=waves(120, 1), epochs=5, batch_size=30, verbose=0)
    print("test", model.evaluate(*waves(120, 2), verbose=0))
