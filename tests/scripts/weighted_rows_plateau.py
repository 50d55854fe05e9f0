import keras
import numpy as np

def daten(n, saat):
    zufall = np.random.default_rng(saat)
    x = zufall.uniform(0, 10, size=(n, 1))
    streuung = 0.2 + x[:, 0] / 5
    y = np.sqrt(x[:, 0]) + streuung * zufall.normal(size=n)
    return x / 10, y, 1 / streuung ** 2       # Gewicht: je genauer, desto mehr

x, y, gewicht = daten(280, 1)
xv, yv, _ = daten(140, 2)

modell = keras.Sequential(layers=[keras.Input((1,)), keras.layers.Dense(12, activation="tanh"), keras.layers.Dense(1)])
modell.compile(loss=keras.losses.MeanSquaredError(), optimizer=keras.optimizers.SGD(learning_rate=0.1))
langsamer = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.3, patience=1, min_lr=0.0005, min_delta=0.02)
modell.fit(x, y, 28, 8, sample_weight=gewicht, validation_data=(xv, yv), callbacks=[langsamer], verbose=0)
