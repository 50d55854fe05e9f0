"""Why does my network not learn? The validation accuracy never moves. (An example for `record`.)"""

from sklearn.datasets import load_breast_cancer
from tensorflow import keras

data = load_breast_cancer()
X, y = data.data, data.target
print(X.shape, y.shape)

model = keras.Sequential()
model.add(keras.Input((30,)))
model.add(keras.layers.Dense(16, activation="sigmoid"))
model.add(keras.layers.Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(0.01), metrics=["accuracy"])
history = model.fit(X, y, epochs=20, batch_size=32, validation_split=0.2, verbose=0)
print("validation accuracy", history.history["val_accuracy"])
