# метки -1 и 1, функция потерь hinge
import numpy as np
from sklearn.datasets import make_circles
from sklearn.svm import SVC
import tensorflow as tf

X, y = make_circles(n_samples=320, noise=0.1, factor=0.4, random_state=9)
y = 2 * y - 1
print("SVM:", SVC().fit(X, y).score(X, y))

inp = tf.keras.layers.Input(shape=(2,))
h = tf.keras.layers.Dense(10)(inp)
h = tf.keras.layers.ReLU(max_value=6.0)(h)
out = tf.keras.layers.Dense(1, activation="tanh")(h)
net = tf.keras.models.Model(inp, out)
net.compile(loss="hinge", optimizer=tf.keras.optimizers.Adam(0.01, clipvalue=0.5))
net.fit(X, y, epochs=6, batch_size=16, verbose=0)
