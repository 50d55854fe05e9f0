import tensorflow as tf
from tensorflow.keras.optimizers.schedules import ExponentialDecay, PolynomialDecay
from sklearn.datasets import load_iris

X, y = load_iris(return_X_y=True)
y = tf.keras.utils.to_categorical(y)

SCHEDULES = dict(
    poly=PolynomialDecay(0.05, decay_steps=60, end_learning_rate=0.001, power=2.0),
    expo=ExponentialDecay(initial_learning_rate=0.02, decay_steps=10, decay_rate=0.5, staircase=True),
)
chosen = 'expo'

model = tf.keras.models.Sequential([
    tf.keras.layers.Dense(9, activation='relu', input_shape=[4]),
    tf.keras.layers.Dense(3, activation='softmax'),
])
adam = tf.keras.optimizers.Adam(learning_rate=SCHEDULES[chosen], beta_1=0.8)
model.compile(adam, loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=0.05), metrics=['accuracy'])
history = model.fit(x=X, y=y, epochs=6, verbose=0)
