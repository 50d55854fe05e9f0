import keras
import numpy as np
from sklearn.datasets import make_friedman1

X, y = make_friedman1(n_samples=320, n_features=6, random_state=6)
y = (y - y.mean()) / y.std()

def step_decay(epoch):
    if epoch < 2:
        return 0.05
    elif epoch < 4:
        return 0.01
    return 0.001

net = keras.Sequential([keras.Input((6,)), keras.layers.Dense(14, activation='sigmoid'), keras.layers.Dense(1)])
net.compile(loss='mse', optimizer=keras.optimizers.Adam())
net.fit(X, y, epochs=6, batch_size=32, callbacks=[keras.callbacks.LearningRateScheduler(step_decay)], verbose=0)
