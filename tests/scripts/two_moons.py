# Zwei Halbmonde, ein ganz einfaches Netz. Warum bleibt die Genauigkeit bei 50 %?
import numpy as np
from sklearn.datasets import make_moons
from tensorflow.keras.models import Sequential
from tensorflow.keras.layers import Dense

X, y = make_moons(400, noise=0.2)
print(X.shape, y.shape)   # (400, 2) (400,)

netz = Sequential()
netz.add(Dense(8, input_dim=2, activation='relu'))
netz.add(Dense(8, activation='relu'))
netz.add(Dense(1, activation='sigmoid'))   # Wahrscheinlichkeit der Klasse 1
netz.compile(loss='binary_crossentropy', optimizer='adam', metrics=['accuracy'])
verlauf = netz.fit(X, y, epochs=5, batch_size=20, validation_split=0.2, verbose=0)
print('Genauigkeit:', verlauf.history['val_accuracy'][-1])
