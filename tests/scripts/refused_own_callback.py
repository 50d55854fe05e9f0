import keras
import numpy as np


class Slower(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1 / (epoch + 2)


x = np.random.rand(100, 3)
m = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
m.compile(keras.optimizers.SGD(0.1), "mse")
m.fit(x, x[:, 0], epochs=5, callbacks=[Slower()], verbose=0)
