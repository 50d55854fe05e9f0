import numpy as np
import keras

gen = np.random.default_rng(31)
table = np.column_stack([gen.normal(1000, 300, 300), gen.normal(0.02, 0.005, 300), gen.normal(-5, 1, 300)])
fuel = table[:, 0] / 500 - 100 * table[:, 1] + gen.normal(size=300)

norm = keras.layers.Normalization(axis=-1)
norm.adapt(table)
print("mean", norm.mean, "variance", norm.variance)

model = keras.Sequential([norm, keras.layers.Dense(12, activation="relu"), keras.layers.Dense(1)])
model.compile(loss="mean_absolute_error", optimizer=keras.optimizers.Adam(0.01, amsgrad=True))
model.fit(table, fuel, epochs=5, verbose=0)
