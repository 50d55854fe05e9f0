import numpy as np
from keras.models import Sequential
from keras.layers import LSTM, Dense

wave = np.sin(np.arange(400) / 5)
X = np.array([wave[i:i + 10] for i in range(380)])[..., None]
y = wave[10:390]

model = Sequential()
model.add(LSTM(8))
model.add(Dense(1))
model.compile(loss='mse', optimizer='adam')
model.fit(X, y, epochs=2, verbose=0)
