import numpy as np
import tensorflow as tf

gen = np.random.default_rng(8)
speed = gen.uniform(0, 3, (400, 2)).astype("float32")
path = (speed.prod(axis=1) + 0.1 * gen.normal(size=400)).astype("float32")

ds = tf.data.Dataset.from_tensor_slices((speed, path))
ds = ds.shuffle(len(speed)).batch(40).prefetch(tf.data.AUTOTUNE)

inputs = tf.keras.Input(shape=(2,))
outputs = tf.keras.layers.Dense(16, activation="softplus")(inputs)
outputs = tf.keras.layers.Dense(1)(outputs)
model = tf.keras.Model(inputs, outputs)
model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate=0.02), loss=tf.keras.losses.MeanSquaredError())
model.fit(ds, epochs=5)
