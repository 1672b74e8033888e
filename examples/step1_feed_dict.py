"""Step 1: placeholders and feed_dict. The model waits while each batch is copied into the session.

    python examples/step1_feed_dict.py [STEPS]

Any iterator will do. This one, Feeder, reads and shuffles on a thread of its own, and needs no TensorFlow.
"""

import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
from toy_digits import write_digits

from recordio_bridge.feed import Feeder

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
tf1 = tf.compat.v1
tf1.disable_eager_execution()

images = tf1.placeholder(tf.uint8, [None, 28, 28])
labels = tf1.placeholder(tf.int64, [None])

# a simple model: softmax regression
pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
weights = tf1.get_variable("weights", [28 * 28, 10])
loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(pixels, weights)))
train = tf1.train.AdamOptimizer().minimize(loss)

with TemporaryDirectory() as folder, tf1.Session() as sess:
    source = write_digits(Path(folder) / "digits.h5")
    sess.run(tf1.global_variables_initializer())
    with Feeder(source, 128, shuffle=True, seed=1, epochs=None) as feeder:
        for step, batch in enumerate(islice(feeder, STEPS)):
            _, now = sess.run([train, loss], feed_dict={images: batch["image"], labels: batch["label"]})
            if step % 100 == 0 or step == STEPS - 1:
                print(f"step {step:4}  loss {now:.4f}")
