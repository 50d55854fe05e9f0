import os
os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
from sklearn.datasets import make_blobs
from sklearn import preprocessing
import keras
from keras.models import Sequential
from keras.layers import Dense, Activation
from keras.layers import LeakyReLU
from keras.optimizers import Adam
from keras.utils.np_utils import to_categorical

X, y = make_blobs(n_samples=360, centers=5, n_features=3, cluster_std=3, random_state=11)
X = preprocessing.MinMaxScaler().fit_transform(X)
Y = to_categorical(y)
m = Sequential()
m.add(Dense(20, input_dim=3)); m.add(LeakyReLU(alpha=.05))
m.add(Dense(5)); m.add(Activation('softmax'))
m.compile(loss='categorical_crossentropy', optimizer=Adam(lr=0.05, decay=0.1), metrics=['accuracy'])
m.fit(X, Y, batch_size=24, epochs=5, verbose=0)
