import keras
import numpy as np


class Doubled(keras.Model):
    def __init__(self):
        super().__init__()
        self.a = keras.layers.Dense(4, activation="relu")
        self.b = keras.layers.Dense(1)

    def call(self, x):
        return self.b(2.0 * self.a(x))


x = np.random.rand(100, 3)
m = Doubled()
m.compile("adam", "mse")
m.fit(x, x[:, 0], verbose=0)
