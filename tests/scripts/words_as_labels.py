import numpy as np
from sklearn.datasets import load_wine
from sklearn.preprocessing import LabelEncoder, StandardScaler
from keras.models import Sequential
from keras.layers import Dense
from keras.utils import to_categorical

class Cellar:
    names = np.array(['barolo', 'grignolino', 'barbera'])

    def __init__(self):
        wine = load_wine()
        self.X = StandardScaler().fit_transform(wine.data)
        self.encoder = LabelEncoder().fit(self.names)
        self.y = to_categorical(self.encoder.transform(self.names[wine.target]))

    def net(self):
        model = Sequential()
        model.add(Dense(9, activation='tanh', kernel_initializer='random_uniform'))
        model.add(Dense(3, activation='softmax'))
        model.compile(optimizer='sgd', loss='kullback_leibler_divergence', metrics=['accuracy'])
        return model

    def train(self, **options):
        model = self.net()
        model.fit(self.X, self.y, **options)
        return model

cellar = Cellar()
cellar.train(epochs=5, batch_size=8, verbose=0)
