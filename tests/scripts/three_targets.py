import numpy as np
import pandas as pd
from sklearn.datasets import load_linnerud
from sklearn.preprocessing import MinMaxScaler
from tensorflow.keras import Sequential
from tensorflow.keras.constraints import MaxNorm
from tensorflow.keras.layers import Dense
from tensorflow.keras.optimizers import Ftrl

people = load_linnerud(as_frame=True)
x = pd.DataFrame(MinMaxScaler().fit_transform(people.data), columns=people.data.columns)
y = pd.DataFrame(MinMaxScaler().fit_transform(people.target), columns=people.target.columns)

model = Sequential([Dense(7, "softsign", kernel_initializer="orthogonal"), Dense(y.shape[1])])
model.compile(loss="log_cosh", optimizer=Ftrl(0.2, l2_regularization_strength=0.001))
model.fit(x, y, epochs=15, verbose=0)    # 20 people only
