import argparse

import keras
import numpy as np

parser = argparse.ArgumentParser(description="Learns the sign of a product.")
parser.add_argument("width", type=int)
parser.add_argument("--rate", type=float, default=0.001)
parser.add_argument("--epochs", "-e", type=int, default=5)
parser.add_argument("--quiet", action="store_true")


def main(options):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(384, 2)).astype("float32")
    y = (x[:, :1] * x[:, 1:] > 0).astype("int32")
    rate = keras.optimizers.schedules.CosineDecay(options.rate, decay_steps=options.epochs * 12)
    model = keras.Sequential()
    model.add(keras.layers.Dense(options.width, activation="leaky_relu"))
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    model.compile(optimizer=keras.optimizers.Lion(rate), loss="binary_focal_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=options.epochs, verbose=0 if options.quiet else 2)


if __name__ == "__main__":
    main(parser.parse_args())
