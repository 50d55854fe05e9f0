import tensorflow as tf
from sklearn.datasets import load_iris

tf.random.set_seed(3)
flowers, kind = load_iris(return_X_y=True)


class Flowers(tf.keras.Model):
    def __init__(self, units, rate=0.1):
        super(Flowers, self).__init__()
        self.out = tf.keras.layers.Dense(3, activation=tf.nn.softmax)
        self.first = tf.keras.layers.Dense(units, activation=tf.nn.elu, kernel_initializer="he_uniform")
        self.drop = tf.keras.layers.Dropout(rate)

    def call(self, inputs, training=False):
        h = self.first(inputs)
        h = self.drop(h, training=training)
        return self.out(h)


m = Flowers(14)
m.compile(tf.keras.optimizers.Adam(0.02), tf.keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
m.fit(flowers, kind, epochs=6, verbose=0)
m.summary()
