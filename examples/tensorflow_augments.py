"""Images decoded and varied by TensorFlow's own ops: the runner hands over the encoded bytes, as they are in the file.

    python examples/tensorflow_augments.py [JPEGS.rec] [--epochs N]

decode_and_crop_jpeg decodes no more of a JPEG than the window needs. The other way, images.decode_and_crop, takes PNG,
WebP and BMP as well, images that are smaller than the window, too, and gives the same windows in every run: see
keras_images.py.
"""

import argparse
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

import recordio_bridge as rb
from recordio_bridge.tf import CustomRunner

SIZE = 64
parser = argparse.ArgumentParser()
parser.add_argument("source", nargs="?", default=Path(__file__).parent / "shapes.rec")
parser.add_argument("--epochs", type=int, default=20)
args = parser.parse_args()


def varied(content: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A random window of a JPEG, mirrored or not."""
    shape = tf.io.extract_jpeg_shape(content)
    top = tf.random.uniform([], 0, shape[0] - SIZE + 1, tf.int32)
    left = tf.random.uniform([], 0, shape[1] - SIZE + 1, tf.int32)
    image = tf.io.decode_and_crop_jpeg(content, [top, left, SIZE, SIZE], channels=3)
    return tf.image.random_flip_left_right(tf.ensure_shape(image, [SIZE, SIZE, 3])), label


keras.utils.set_random_seed(1)
classes = 1 + max(int(batch["label"].numbers().max()) for batch in rb.read(args.source, fields=["label"]))

model = keras.Sequential(
    [
        layers.Input((SIZE, SIZE, 3)),
        layers.Rescaling(1 / 127.5, offset=-1),
        layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.Conv2D(32, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(classes),
    ]
)
model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

columns = {"image": "image", "label:int64": "label[0]"}  # of a .rec, whose labels are float32 vectors
with CustomRunner(args.source, 12, select=columns, shuffle=True, seed=1) as runner:
    encoded = runner.dataset()
    images = encoded.unbatch().map(varied, num_parallel_calls=tf.data.AUTOTUNE).batch(12).prefetch(tf.data.AUTOTUNE)
    images = images.apply(tf.data.experimental.assert_cardinality(len(encoded)))  # which unbatch has lost
    model.fit(images, epochs=args.epochs, shuffle=False, verbose=2)
    print(runner.summary())
