import keras
import numpy as np


class Parabola(keras.utils.PyDataset):
    """Draws another order at the end of every epoch."""

    def __init__(self, n, size, seed, **kwargs):
        super().__init__(**kwargs)
        self.random = np.random.default_rng(seed)
        self.x = self.random.uniform(-1, 1, (n, 1))
        self.y = self.x**2
        self.size, self.order = size, np.arange(n)

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        rows = self.order[index * self.size : (index + 1) * self.size]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.random.shuffle(self.order)


model = keras.Sequential([keras.layers.Dense(10, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.Adagrad(0.1, initial_accumulator_value=0.05), loss="mean_squared_error")
model.fit(Parabola(240, 24, seed=0, workers=1), epochs=5, verbose=0)
