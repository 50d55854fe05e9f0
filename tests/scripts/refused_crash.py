import pandas as pd
from keras import Sequential
from keras.layers import Dense


def load(name):
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 1]})
    return table[["a"]], table[name]


X, y = load("B")
model = Sequential([Dense(1, activation="sigmoid")])
model.compile("sgd", "binary_crossentropy")
model.fit(X, y)
