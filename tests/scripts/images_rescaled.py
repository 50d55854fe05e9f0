import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

tf.keras.utils.set_random_seed(0)
(images, labels) = load_digits(return_X_y=True)
images = (images.reshape(-1, 8, 8) * 15.9).astype(np.uint8)
train_images, train_labels = images[:500], labels[:500].astype(np.uint8)
test_images, test_labels = images[500:800], labels[500:800]

model = tf.keras.Sequential([
    tf.keras.layers.Input(shape=(8, 8)),
    tf.keras.layers.Rescaling(1. / 255),
    tf.keras.layers.Flatten(),
    tf.keras.layers.Dense(32, activation='relu'),
    tf.keras.layers.BatchNormalization(),
    tf.keras.layers.Dropout(0.3),
    tf.keras.layers.Dense(10)])

loss_fn = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer='adam', loss=loss_fn, metrics=['accuracy'])
model.fit(train_images, train_labels, epochs=4, validation_data=(test_images, test_labels), verbose=0)
probability_model = tf.keras.Sequential([model, tf.keras.layers.Softmax()])
print(probability_model(test_images[:3]))
