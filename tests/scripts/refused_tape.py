import numpy as np
import tensorflow as tf

x = tf.constant(np.random.rand(64, 2), tf.float32)
y = tf.reduce_sum(x, axis=1, keepdims=True)
net = tf.keras.Sequential([tf.keras.layers.Dense(5, activation="relu"), tf.keras.layers.Dense(1)])
optimizer = tf.keras.optimizers.SGD(0.1)
for step in range(20):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((net(x) - y) ** 2)
    grads = tape.gradient(loss, net.trainable_variables)
    optimizer.apply_gradients(zip(grads, net.trainable_variables))
print(float(loss))
