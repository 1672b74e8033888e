"""A training loop of today: runner.dataset() is a tf.data.Dataset, and each pass over it is an epoch in a new order.

python examples/eager_loop.py [EPOCHS]
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
from toy_digits import write_digits

from recordio_bridge.tf import CustomRunner

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 10

weights = tf.Variable(tf.random.normal([28 * 28, 10], stddev=0.05))
optimizer = tf.keras.optimizers.Adam()


@tf.function
def train(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(pixels, weights)))
    optimizer.apply_gradients(zip(tape.gradient(loss, [weights]), [weights], strict=True))
    return loss


with TemporaryDirectory() as folder:
    source = write_digits(Path(folder) / "digits.h5")
    with CustomRunner(source, batch_size=128, fields=["image", "label"], shuffle=True, seed=1) as runner:
        dataset = runner.dataset()
        for epoch in range(EPOCHS):
            losses = [float(train(images, labels)) for images, labels in dataset]
            print(f"epoch {epoch:2}  loss {sum(losses) / len(losses):.4f}")
        print(runner.summary())
