# Keras 2.1, Python 3.6
import numpy as np
from keras.models import Sequential
from keras.layers import Dense
from keras.layers.advanced_activations import LeakyReLU
from keras.optimizers import SGD
from keras.utils import np_utils
from sklearn.datasets import load_digits

digits = load_digits()
X = digits.data[:330] / 16.0
Y = np_utils.to_categorical(digits.target[:330], 10)

def gen(X, Y, size):
    while 1:
        for i in range(0, len(X), size):
            yield (X[i:i+size], Y[i:i+size])

model = Sequential()
model.add(Dense(24, input_shape=(64,)))
model.add(LeakyReLU(alpha=0.1))
model.add(Dense(10, activation='softmax'))
model.compile(SGD(lr=0.1, decay=0.02, momentum=0.8, nesterov=True), loss='categorical_crossentropy', metrics=['acc'])
model.fit_generator(gen(X, Y, 30), steps_per_epoch=11, epochs=5, verbose=2)
print(model.predict_classes(X[:10]), digits.target[:10])
