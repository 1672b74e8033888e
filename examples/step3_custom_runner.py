"""Step 3: a thread feeds a queue from your own iterator, and the session takes its batches there.

    python examples/step3_custom_runner.py [STEPS]

This is the program of 2016 (TensorFlow Data Input, part 2), with its data_iterator and its order of calls.
"""

import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from toy_digits import digits

from recordio_bridge.tf import CustomRunner

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
tf1 = tf.compat.v1
tf1.disable_eager_execution()

features, classes = digits()


def data_iterator() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A simple data iterator"""
    while True:
        order = np.random.permutation(len(features))
        for start in range(0, len(features), 128):
            rows = order[start : start + 128]
            yield features[rows].reshape(-1, 28 * 28).astype("float32") / 255, classes[rows]


# the graph is made on the main thread, and whole, before any other runs
runner = CustomRunner(data_iterator, batch_size=128)
images, labels = runner.get_inputs()

weights = tf1.get_variable("weights", [28 * 28, 10])
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(images, weights)))
train = tf1.train.AdamOptimizer().minimize(loss)

with tf1.Session() as sess, runner:  # which ends the threads before the session
    sess.run(tf1.global_variables_initializer())
    runner.start_threads(sess)
    for step in range(STEPS):
        _, now = sess.run([train, loss])
        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step:4}  loss {now:.4f}")
