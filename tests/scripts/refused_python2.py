import numpy as np
from keras.models import Sequential
from keras.layers.core import Dense

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
print "rows:", len(X)
model = Sequential()
model.add(Dense(1, input_dim=2))
model.compile(loss='mse', optimizer='sgd')
model.fit(X, X[:, 0], nb_epoch=5)
