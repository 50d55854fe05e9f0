# -*- coding: utf-8 -*-
from __future__ import print_function, division
import sys, time
import numpy as np
import tensorflow as tf

class Config(object):
    hidden = [12, 6]
    dropout = .25
    lr = 1e-2
    batch = 18
    epochs = 4

class Classifier(object):
    def __init__(self, cfg):
        self.cfg = cfg
        print('building', file=sys.stderr)
        self.model = tf.keras.models.Sequential()
        for n, h in enumerate(cfg.hidden):
            self.model.add(tf.keras.layers.Dense(h, activation='relu' if n else None))
            self.model.add(tf.keras.layers.BatchNormalization(center=False))
            self.model.add(tf.keras.layers.Dropout(cfg.dropout))
        self.model.add(tf.keras.layers.Dense(1))
        self.model.add(tf.keras.layers.Activation('sigmoid'))

    def run(self, X, y):
        began = time.time()
        self.model.compile(optimizer=tf.keras.optimizers.Adam(self.cfg.lr), loss=tf.keras.losses.binary_crossentropy, metrics=['binary_accuracy'])
        try:
            self.model.fit(X, y, batch_size=self.cfg.batch, epochs=self.cfg.epochs, verbose=0)
        except:
            print('something went wrong, never mind')
        print('took %.1f s' % (time.time() - began))

rng = np.random.RandomState(1234)
X = rng.randn(270, 6); y = (X[:, 0] > X[:, 1] * X[:, 2]).astype(float).reshape(-1, 1)
Classifier(Config()).run(X, y)
