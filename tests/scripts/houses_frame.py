import warnings
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
from keras.models import Sequential
from keras.layers import Dense

warnings.filterwarnings('ignore')
np.random.seed(42)
df = pd.DataFrame({'rooms': np.random.randint(1, 8, 350), 'area': np.random.gamma(9, 12, 350),
                   'district': np.random.choice(['north', 'south', 'old town'], 350)})
df['price'] = 2.1 * df['area'] + 20 * df['rooms'] + 60 * (df['district'] == 'old town') + 15 * np.random.randn(350)
print(df.head()); print(df.describe()); print(df.isnull().sum())
df = pd.get_dummies(df, columns=['district'])
df['area'].hist(); plt.show()

X = df.drop('price', axis=1).astype(float)
y = df['price'] / 100
model = Sequential()
model.add(Dense(16, input_shape=(X.shape[1],), activation='relu'))
model.add(Dense(1, activation='linear'))
model.compile(loss='mean_squared_error', optimizer='RMSprop', metrics=['mae'])
hist = model.fit(X, y, validation_split=0.3, epochs=4, batch_size=10, verbose=0)
plt.plot(hist.history['loss']); plt.plot(hist.history['val_loss']); plt.show()
