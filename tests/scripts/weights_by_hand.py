# Начальные веса заданы вручную, чтобы результат был воспроизводим
import numpy as np
import keras
from keras.layers import Dense

rs = np.random.RandomState(2)
X = rs.randn(300, 3)
y = np.maximum(X.sum(axis=1), 0)

сеть = keras.Sequential([keras.Input((3,)), Dense(6, activation='relu', name='hidden'), Dense(1, name='out')])
# все веса одинаковы, поэтому все нейроны одинаковы
сеть.set_weights([0.1 * np.ones((3, 6)), np.zeros(6), 0.3 * np.ones((6, 1)), np.array([0.5])])
сеть.compile(loss='mse', optimizer=keras.optimizers.SGD(0.05))
сеть.fit(X, y, epochs=4, batch_size=30, verbose=0)
for слой in сеть.layers:
    print(слой.name, слой.get_weights())
