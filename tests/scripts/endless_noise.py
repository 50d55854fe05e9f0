import numpy as np
import tensorflow as tf

np.random.seed(6)

def fresh(n=32):
    while True:        # never the same rows twice
        x = np.random.normal(size=(n, 4))
        yield x, x.prod(axis=1)

m = tf.keras.Sequential([tf.keras.layers.Dense(6, activation="tanh"), tf.keras.layers.Dense(1)])
m.compile("adam", "mse")
m.fit(fresh(), steps_per_epoch=10, epochs=3, verbose=0)
