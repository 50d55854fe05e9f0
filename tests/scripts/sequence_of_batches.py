import numpy as np
from keras.layers import Dense, Input
from keras.models import Model
from keras.utils import Sequence

# Datos inventados: dos salidas a partir de tres entradas, ordenadas por la primera
datos = np.random.RandomState(4).uniform(-1, 1, (300, 3))
datos = datos[np.argsort(datos[:, 0])]
salidas = np.column_stack([datos[:, 0] ** 2, datos[:, 1] - datos[:, 2]])


class Lotes(Sequence):
    def __init__(self, x, y, tam=20):
        self.x, self.y, self.tam = x, y, tam

    def __len__(self):
        return len(self.x) // self.tam

    def __getitem__(self, k):
        desde = k * self.tam
        return self.x[desde:desde + self.tam], self.y[desde:desde + self.tam]


entrada = Input((3,))
oculta = Dense(15, activation='tanh')(entrada)
red = Model(entrada, Dense(2)(oculta))
red.compile(loss='mse', optimizer='adadelta')
red.optimizer.learning_rate = 1.0   # el valor antiguo
red.fit(Lotes(datos, salidas), epochs=5, verbose=0)
print('error', red.evaluate(datos, salidas, verbose=0))
