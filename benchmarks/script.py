"""The script that people would write for the variant mnist-fixed: `model.fit`, seed after seed.

It stands alone and uses nothing of the pipeline but its data: `python benchmarks/script.py 0 1 2 3 4`, at the root.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np

data = np.load("data/prepared/mnist.npz")
x_train, x_validation, x_test = (
    data[f"x_{split}"].astype("float32") / 255 for split in ("train", "validation", "test")
)

for seed in map(int, sys.argv[1:]):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    validation = (x_validation, data["y_validation"])
    model.fit(x_train, data["y_train"], validation_data=validation, epochs=10, verbose=0)
    _, accuracy = model.evaluate(x_test, data["y_test"], verbose=0)
    print(f"seed {seed}: test accuracy {accuracy:.4f}", flush=True)
