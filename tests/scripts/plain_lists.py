from keras import Sequential
from keras.layers import Dense
from keras.optimizers import SGD

# xor, no numpy
inputs = [[0, 0], [0, 1], [1, 0], [1, 1]]
wanted = [0, 1, 1, 0]

brain = Sequential()
brain.add(Dense(8, activation='tanh'))
brain.add(Dense(1, activation='sigmoid'))
brain.compile(loss='mse', optimizer=SGD(learning_rate=0.3))
brain.fit(inputs, wanted, epochs=20, verbose=0, batch_size=1)
print(brain.predict(inputs))
