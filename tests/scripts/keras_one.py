# -*- coding: utf-8 -*-
import numpy as np
from keras.models import Sequential
from keras.layers.core import Dense, Dropout, Activation
from keras.layers.normalization import BatchNormalization
from keras.regularizers import l2
from keras.utils import np_utils
from sklearn.cross_validation import train_test_split
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

wine = load_wine()
X_train, X_test, y_train, y_test = train_test_split(StandardScaler().fit_transform(wine.data.astype(np.float)), wine.target,
                                                    test_size=0.25, random_state=4)
Y_train = np_utils.to_categorical(y_train, 3)
Y_test = np_utils.to_categorical(y_test, 3)

model = Sequential()
model.add(Dense(output_dim=18, input_dim=13, init='he_normal', W_regularizer=l2(0.01)))
model.add(BatchNormalization())
model.add(Activation('relu'))
model.add(Dropout(p=0.3))
model.add(Dense(output_dim=3, init='glorot_normal', activation='softmax'))
model.compile(loss='categorical_crossentropy', optimizer='rmsprop', metrics=['accuracy'])
model.fit(X_train, Y_train, nb_epoch=5, batch_size=16, validation_data=(X_test, Y_test), verbose=1)
print(model.predict_classes(X_test))
