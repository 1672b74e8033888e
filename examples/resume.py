"""Training that is stopped in the middle of an epoch, and goes on with the batch after the last that it took.

    python examples/resume.py [STEPS]

state() is a small JSON value. It goes beside the model's checkpoint, as both are of the same step.
"""

import json
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf
from toy_digits import write_digits

from recordio_bridge.tf import CustomRunner

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 50


def train(folder: Path, steps: int) -> list[int]:
    """Go on for so many steps from what the folder holds, or begin; the rows that were seen."""
    weights = tf.Variable(tf.zeros([28 * 28, 10]))
    optimizer = tf.keras.optimizers.Adam()
    checkpoint, state_file, state = (
        tf.train.Checkpoint(weights=weights, optimizer=optimizer),
        folder / "feed.json",
        None,
    )
    if state_file.exists():
        state = json.loads(state_file.read_text())
        checkpoint.read(str(folder / "model"))
        print(f"goes on with batch {state['batch']} of epoch {state['epoch']}")

    seen: list[int] = []
    options = {"batch_size": 128, "shuffle": True, "seed": 1, "epochs": 1000}  # the same each time
    with CustomRunner(folder / "digits.rec", state=state, **options) as runner:
        for step, (ids, images, labels) in enumerate(islice(runner.dataset(n_threads=2), steps)):
            with tf.GradientTape() as tape:
                pixels = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, 28 * 28])
                logits = tf.matmul(pixels, weights)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
            optimizer.apply_gradients(zip(tape.gradient(loss, [weights]), [weights], strict=True))
            seen += ids.numpy().tolist()
            if step in (0, steps - 1):
                print(f"step {step:4}  loss {loss:.4f}")
        checkpoint.write(str(folder / "model"))
        state_file.write_text(json.dumps(runner.state()))
    return seen


with TemporaryDirectory() as name:
    write_digits(Path(name) / "digits.rec")
    seen = train(Path(name), STEPS) + train(Path(name), STEPS)  # each might be a process of its own
    epoch = seen[:4000]
    print(f"the first epoch: {len(epoch)} rows, {len(set(epoch))} different ones")
