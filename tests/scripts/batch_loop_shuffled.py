import random
import numpy as np
import tensorflow as tf
from sklearn.datasets import make_blobs

points, owner = make_blobs(n_samples=300, centers=4, cluster_std=2.5, random_state=5)
points = points.astype('float32')

model = tf.keras.Sequential()
model.add(tf.keras.layers.Dense(12, activation='relu'))
model.add(tf.keras.layers.Dense(4, activation='softmax'))
opt = tf.keras.optimizers.Nadam(0.01)
model.compile(optimizer=opt, loss='sparse_categorical_crossentropy', metrics=['accuracy'])

BATCH = 25
order = list(range(len(points)))
for epoch in range(5):
    random.shuffle(order)
    losses = []
    for start in range(0, len(order), BATCH):
        chosen = order[start:start + BATCH]
        loss, acc = model.train_on_batch(points[chosen], owner[chosen])
        losses.append(loss)
    print(f'{epoch}: {np.mean(losses):.3f}', end='\r')
print()
