"""Step 2: shuffle the data once into TFRecord, with a progress bar, and let tf.data read that.

    python examples/step2_tfrecord.py [STEPS]

On the command line: recordio-bridge convert digits.npz digits.tfrecord --shuffle --seed 1
The training itself is TensorFlow alone; recordio-bridge info FILE --parse-fn prints its parse function.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
from toy_digits import write_digits

import recordio_bridge as rb
from recordio_bridge.tf import parse_spec

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 500

weights = tf.Variable(tf.random.normal([28 * 28, 10], stddev=0.05))
optimizer = tf.keras.optimizers.Adam()


@tf.function
def train(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(pixels, weights)))
    optimizer.apply_gradients(zip(tape.gradient(loss, [weights]), [weights], strict=True))
    return loss


with TemporaryDirectory() as name:
    folder = Path(name)
    write_digits(folder / "digits.npz")
    rb.convert(folder / "digits.npz", folder / "digits.tfrecord", shuffle=True, seed=1, progress=True)

    spec = parse_spec(folder / "digits.tfrecord")  # what tf.io.parse_example wants to know
    records = tf.data.TFRecordDataset(str(folder / "digits.tfrecord")).shuffle(2000).repeat().batch(128)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, spec)).prefetch(2)
    for step, row in enumerate(parsed.take(STEPS)):
        images = tf.io.decode_raw(row["image"], tf.uint8)  # tensors are stored as their bytes
        now = train(images, row["label"])
        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step:4}  loss {now:.4f}")
