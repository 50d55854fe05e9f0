import numpy as np
import tensorflow as tf
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

features, labels = load_breast_cancer(return_X_y=True)
features, labels = scale(features)[:330], labels[:330]

def pipeline(x, y, batch):
    d = tf.data.Dataset.from_tensor_slices((x, y[:, np.newaxis]))
    return d.shuffle(60).repeat().batch(batch)      # endless

steps = len(features) // 32       # 10, so that an epoch ends before the rows do
model = tf.keras.models.Sequential([
    tf.keras.layers.Dense(6, activation='sigmoid'),
    tf.keras.layers.Dense(1, activation='sigmoid')])
model.compile('adam', 'binary_crossentropy', metrics=['accuracy'])
model.fit(pipeline(features, labels, 32), steps_per_epoch=steps, epochs=5, verbose=2)
