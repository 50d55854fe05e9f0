import numpy as np
import keras

data_rng = np.random.default_rng(21)
X = data_rng.normal(size=(320, 8)); Y = (np.abs(X).sum(1) > 6.4) * 1
results = {}
for lr in (0.3, 0.03, 0.003):
    keras.backend.clear_session()
    model = keras.models.Sequential()
    model.add(keras.layers.Dense(24, activation='swish', kernel_initializer=keras.initializers.HeNormal()))
    model.add(keras.layers.Dense(2, activation='softmax'))
    model.compile(loss='sparse_categorical_crossentropy', optimizer=keras.optimizers.SGD(lr), metrics=['accuracy'])
    results[lr] = model.fit(X, Y, epochs=5, verbose=0).history['accuracy'][-1]
    print(lr, results[lr])
