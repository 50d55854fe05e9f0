# 神经网络学习异或，但损失不下降
import numpy as np
import tensorflow as tf
from tensorflow import keras

数据 = np.random.RandomState(0).uniform(-1, 1, (300, 2)).astype(np.float32)
标签 = (数据[:, 0] * 数据[:, 1] > 0).astype(np.int64)

model = keras.Sequential([
    keras.layers.Dense(16, activation=tf.nn.relu, input_shape=(2,)),
    keras.layers.Dense(2, activation=tf.nn.softmax),
])
model.compile(optimizer=tf.train.GradientDescentOptimizer(0.2),
              loss='sparse_categorical_crossentropy',
              metrics=['accuracy'])
model.fit(数据, 标签, epochs=6, batch_size=30, verbose=0)
print('准确率', model.evaluate(数据, 标签, verbose=0)[1])
