import numpy as np
import tensorflow as tf

def snake(x):
    return x + tf.sin(x) ** 2

x = np.linspace(-3, 3, 200)[:, None]
model = tf.keras.Sequential([tf.keras.layers.Dense(8, activation=snake), tf.keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, np.sin(x), verbose=0)
