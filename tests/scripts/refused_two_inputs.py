import keras
import numpy as np

left, right = np.random.rand(100, 3), np.random.rand(100, 2)
y = left.sum(1) - right.sum(1)
a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
joined = keras.layers.Concatenate()([a, b])
model = keras.Model([a, b], keras.layers.Dense(1)(joined))
model.compile(loss="mse", optimizer="sgd")
model.fit([left, right], y, epochs=2, verbose=0)
