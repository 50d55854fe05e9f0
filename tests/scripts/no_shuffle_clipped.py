import numpy as np
import tensorflow as tf
from tensorflow.keras import layers, models, optimizers

# time series, so please do not shuffle
t = np.arange(0, 60, 0.15)
series = np.sin(t) + 0.3 * np.sin(3.1 * t)
window = 8
X = np.array([series[i:i + window] for i in range(len(series) - window)])
y = series[window:]

def get_model():
    m = models.Sequential()
    m.add(layers.InputLayer(shape=(window,)))
    m.add(layers.Dense(10, activation=tf.keras.activations.relu))
    m.add(layers.Dense(1, use_bias=False))
    m.compile(loss="mean_squared_error",
              optimizer=optimizers.SGD(learning_rate=0.02, momentum=0.9, nesterov=True, clipnorm=0.1))
    return m

model = get_model()
model.fit(X, y, epochs=5, batch_size=56, shuffle=False, verbose=0)
