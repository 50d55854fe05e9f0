import pandas as pd
import tensorflow as tf
from sklearn.datasets import load_digits

d = load_digits(as_frame=True)
df = d.frame.iloc[:600].sort_values("target")
y = df.pop("target")
train = tf.data.Dataset.from_tensor_slices((df.to_numpy("float32") / 16, y)).shuffle(40).batch(32)

model = tf.keras.Sequential()
model.add(tf.keras.layers.Dense(10))
model.compile(tf.keras.optimizers.SGD(0.05), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
h = model.fit(train, epochs=4, verbose=0)
print(pd.DataFrame(h.history))
