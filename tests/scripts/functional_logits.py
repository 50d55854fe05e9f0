import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(1)
rng = np.random.default_rng(1)
n_rows, n_columns = 480, 12
truth = rng.normal(size=n_columns)
data = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
target = (data @ truth + rng.normal(size=n_rows) > 0).astype(np.float32)

inp = layers.Input((n_columns,), name="measurements")
x = layers.Dense(10, name="wide")(inp)
x = layers.Activation("gelu", name="bend")(x)
x = layers.Dropout(0.2)(x)
out = layers.Dense(1, name="logit")(x)
net = keras.Model(inputs=inp, outputs=out, name="judge")

net.compile(
    optimizer=keras.optimizers.RMSprop(learning_rate=0.004, momentum=0.5),
    loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
    metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
)
net.fit(data, target, batch_size=24, epochs=5, verbose=2)
