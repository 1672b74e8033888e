"""Step 4: whole batches, straight from a file, shuffled as row numbers: the fastest in graph mode.

    python examples/step4_whole_batches.py [STEPS]

The source may be .rec, TFRecord, HDF5, .npz or .npy, a list of files or a pattern.
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
    source = write_digits(Path(folder) / "digits.rec")
    runner = CustomRunner(source, batch_size=128, fields=["image", "label"], shuffle=True, seed=1)
    images, labels = runner.get_inputs()  # uint8[?, 28, 28] and int64[?], as they are stored

    pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
    weights = tf1.get_variable("weights", [28 * 28, 10])
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(pixels, weights)))
    train = tf1.train.AdamOptimizer().minimize(loss)

    with tf1.Session() as sess, runner:
        sess.run(tf1.global_variables_initializer())
        runner.start_threads(sess, n_threads=2)  # the order of the batches is that of one thread
        for step in range(STEPS):
            _, now = sess.run([train, loss])
            if step % 100 == 0 or step == STEPS - 1:
                print(f"step {step:4}  loss {now:.4f}")
        print(runner.summary())
