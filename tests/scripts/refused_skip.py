import keras
import numpy as np

x = np.random.rand(100, 6)
inputs = keras.Input((6,))
h = keras.layers.Dense(6, activation="relu")(inputs)
h = keras.layers.Add()([h, inputs])
model = keras.Model(inputs, keras.layers.Dense(1)(h))
model.compile("adam", "mse")
model.fit(x, x.sum(axis=1), verbose=0)
