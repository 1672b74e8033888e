"""Keras on a .rec of images: what mx.io.ImageRecordIter did, without MXNet.

    python examples/keras_images.py [IMAGES.rec] [--epochs N] [--size PIXELS]

The JPEGs stay as they are in the file. Two threads decode them, cut a random window out of each, and mirror half
of them; batches come in a new order in every epoch, the same in every run.
"""

import argparse
from pathlib import Path

import keras
from keras import layers

import recordio_bridge as rb
from recordio_bridge.images import decode_and_crop
from recordio_bridge.tf import CustomRunner

parser = argparse.ArgumentParser()
parser.add_argument("source", nargs="?", default=Path(__file__).parent / "shapes.rec")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--size", type=int, default=64)
args = parser.parse_args()

keras.utils.set_random_seed(1)
columns = {"image": "image", "label:int64": "label[0]"}  # of a .rec, whose labels are float32 vectors
classes = 1 + max(int(batch["label"].numbers().max()) for batch in rb.read(args.source, fields=["label"]))

model = keras.Sequential(
    [
        layers.Input((args.size, args.size, 3)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(classes),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])

shorter = args.size * 9 // 8  # the side to which images are scaled before the window is cut out
varied = decode_and_crop(args.size, resize=shorter, random_crop=True, flip=True, seed=1)
middle = decode_and_crop(args.size, resize=shorter)
with (
    CustomRunner(args.source, 12, select=columns, shuffle=True, seed=1, transform=varied) as training,
    CustomRunner(args.source, 12, select=columns, transform=middle) as checking,
):
    model.fit(
        training.dataset(n_threads=2),
        validation_data=checking.dataset(n_threads=2),  # here the same images, for want of others
        epochs=args.epochs,
        shuffle=False,  # which the runner has done
        verbose=2,
    )
    print(training.summary())
