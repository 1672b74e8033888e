"""Step 5: a queue of single rows that TensorFlow mixes, as tf.train.shuffle_batch did.

    python examples/step5_shuffle_batch.py [STEPS]

For rows that come in an order of their own, as from an iterator. Files are better shuffled as in step 4: of all
rows, and faster.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
from toy_digits import write_digits

from recordio_bridge.tf import CustomRunner

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
tf1 = tf.compat.v1
tf1.disable_eager_execution()

with TemporaryDirectory() as folder:
    source = write_digits(Path(folder) / "digits.tfrecord")
    runner = CustomRunner(
        source,
        batch_size=128,
        fields=["image", "label"],
        unit="row",
        capacity=16,  # batches: the queue holds 2048 rows,
        min_after_dequeue=1500,  # and keeps so many to mix the next ones with
        epochs=None,  # without end; a number gives tf.errors.OutOfRangeError behind the last
    )
    images, labels = runner.get_inputs()

    pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
    weights = tf1.get_variable("weights", [28 * 28, 10])
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(pixels, weights)))
    train = tf1.train.AdamOptimizer().minimize(loss)

    with tf1.Session() as sess, runner:
        sess.run(tf1.global_variables_initializer())
        runner.start_threads(sess)
        for step in range(STEPS):
            _, now = sess.run([train, loss])
            if step % 100 == 0 or step == STEPS - 1:
                print(f"step {step:4}  loss {now:.4f}")
