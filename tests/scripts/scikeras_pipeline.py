import keras
from scikeras.wrappers import KerasRegressor
from sklearn.datasets import make_regression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_regression(300, 5, noise=3.0, random_state=2)
y = y / y.std()


def make(hidden=12):
    net = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(hidden, "selu"), keras.layers.Dense(1)])
    net.compile(loss="huber", optimizer=keras.optimizers.Adam(0.01))
    return net


regressor = KerasRegressor(model=make, hidden=9, epochs=4, batch_size=16, verbose=0)
print(cross_val_score(make_pipeline(StandardScaler(), regressor), X, y, cv=3).mean())
