"""One way to feed a model, for so many seconds: prints examples per second as JSON.

    python scripts/ladder.py STEP FOLDER [--seconds 3]

Each is a process of its own, as threads and memory of one would disturb the next. In graph mode, with the model of the
posts of 2016 (softmax regression on 784 numbers, Adam, batches of 128):

    filled              a queue filled before the clock starts, and no producer: what no queue can be faster than
    tf.data             tf.data's shuffle and batch of tensors in memory
    tfrecord-queues     string_input_producer, TFRecordReader, parse_single_example, shuffle_batch
    posts               the posts' CustomRunner: a thread that feeds a RandomShuffleQueue with enqueue_many
    rec, h5, npz, tfrecord    ours, shuffled, from rows.rec and so on in FOLDER

Keras' fit on the same rows, as Examples: keras-rec (ours), keras-tf.data. Photographs, random windows of 224 pixels in
batches of 32: photos-transform (ours, OpenCV), photos-map (ours, and TensorFlow decodes the window), photos-tf.data
(decode_jpeg, random_crop), photos-tf.data-region (decode_and_crop_jpeg).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
BATCH, PIXELS = 128, 784
IMAGES, CROP = 32, 224
_WARM_UP_S = 1.0
_ENDLESS = 1 << 20  # epochs in one pass, as .repeat() before a .map of tf.data; between passes, nothing is read ahead


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / "rows.npz") as archive:
        return archive["pixels"], archive["label"]


def softmax_regression(pixels):
    """The model of the posts: logits."""
    return tf.matmul(pixels, v1.get_variable("w1", [PIXELS, 10], initializer=v1.zeros_initializer()))


def train(inputs, start: Callable[[object], None], seconds: float, steps: int | None = None) -> float:
    """Examples per second of the model on these inputs; start is called when the variables have values."""
    pixels, labels = inputs
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=softmax_regression(pixels))
    step = v1.train.AdamOptimizer().minimize(tf.reduce_mean(loss))
    with v1.Session() as sess:
        sess.run(v1.global_variables_initializer())
        start(sess)
        run = sess.make_callable(step)
        if steps is not None:  # a part of them is the warm-up
            for _ in range(steps // 4):
                run()
            begin = time.perf_counter()
            for _ in range(steps - steps // 4):
                run()
            return (steps - steps // 4) * BATCH / (time.perf_counter() - begin)
        begin = time.perf_counter()
        while time.perf_counter() - begin < _WARM_UP_S:
            run()
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            run()
            done += 1
        return done * BATCH / (time.perf_counter() - begin)


def filled(folder: Path, seconds: float) -> float:
    pixels, labels = arrays(folder)
    steps = 2000
    feeds = [v1.placeholder(tf.float32, [BATCH, PIXELS]), v1.placeholder(tf.int64, [BATCH])]
    queue = tf.queue.FIFOQueue(steps, [tf.float32, tf.int64], [[BATCH, PIXELS], [BATCH]])
    enqueue = queue.enqueue(feeds)

    def fill(sess) -> None:
        put = sess.make_callable(enqueue, feeds)
        random = np.random.default_rng(0)
        for _ in range(steps):
            rows = random.integers(0, len(pixels), BATCH)
            put(pixels[rows], labels[rows])

    return train(queue.dequeue(), fill, seconds, steps)


def tf_data(folder: Path, seconds: float) -> float:
    pixels, labels = arrays(folder)
    feeds = v1.placeholder(tf.float32, pixels.shape), v1.placeholder(tf.int64, labels.shape)
    data = (
        tf.data.Dataset.from_tensor_slices(feeds).shuffle(10_000).repeat().batch(BATCH, drop_remainder=True).prefetch(4)
    )
    iterator = v1.data.make_initializable_iterator(data)
    begin = dict(zip(feeds, (pixels, labels), strict=True))
    return train(iterator.get_next(), lambda sess: sess.run(iterator.initializer, begin), seconds)


def tfrecord_queues(folder: Path, seconds: float) -> float:
    names = v1.train.string_input_producer([str(folder / "rows.tfrecord")])
    _, serialized = v1.TFRecordReader().read(names)
    spec = {"pixels": tf.io.FixedLenFeature([PIXELS], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)}
    row = tf.io.parse_single_example(serialized, spec)
    inputs = v1.train.shuffle_batch([row["pixels"], row["label"]], BATCH, capacity=2000, min_after_dequeue=1000)
    return train(inputs, lambda sess: v1.train.start_queue_runners(sess), seconds)


def posts(folder: Path, seconds: float) -> float:
    pixels, labels = arrays(folder)
    feeds = [v1.placeholder(tf.float32, [None, PIXELS]), v1.placeholder(tf.int64, [None])]
    queue = tf.queue.RandomShuffleQueue(2000, 1000, [tf.float32, tf.int64], [[PIXELS], []])
    enqueue = queue.enqueue_many(feeds)

    def data_iterator():
        while True:
            order = np.random.permutation(len(pixels))
            shuffled_pixels, shuffled_labels = pixels[order], labels[order]
            for at in range(0, len(pixels), BATCH):
                yield shuffled_pixels[at : at + BATCH], shuffled_labels[at : at + BATCH]

    def feed(sess) -> None:
        try:
            for batch in data_iterator():
                sess.run(enqueue, dict(zip(feeds, batch, strict=True)))
        except (tf.errors.CancelledError, RuntimeError):
            pass  # the session was closed

    return train(
        queue.dequeue_many(BATCH),
        lambda sess: threading.Thread(target=feed, args=(sess,), daemon=True).start(),
        seconds,
    )


def made(folder: Path, name: str):
    """A runner on the rows in a format, and its inputs."""
    from recordio_bridge.tf import CustomRunner

    is_raw = name == "rec"
    runner = CustomRunner(
        str(folder / f"rows.{name}"),
        BATCH,
        fields=None if is_raw else ["pixels", "label"],
        select={"image": "image", "label:int64": "label"} if is_raw else None,
        shuffle=True,
        seed=1,
        drop_remainder=True,
    )
    pixels, labels = runner.get_inputs()
    return runner, (tf.reshape(tf.io.decode_raw(pixels, tf.float32), [BATCH, PIXELS]) if is_raw else pixels, labels)


def ours(name: str) -> Callable[[Path, float], float]:
    def run(folder: Path, seconds: float) -> float:
        runner, inputs = made(folder, name)
        rate = train(inputs, runner.start_threads, seconds)
        print(runner.summary(), file=sys.stderr)
        runner.stop()
        return rate

    return run


def waiting(folder: Path, seconds: float) -> float:
    """The part of its time that a model waits for a .rec, where it is the slower side: one of 3 million weights."""
    runner, (pixels, labels) = made(folder, "rec")
    hidden = tf.nn.relu(tf.matmul(pixels, v1.get_variable("w1", [PIXELS, 4096])))
    logits = tf.matmul(hidden, v1.get_variable("w2", [4096, 10]))
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    step = v1.train.AdamOptimizer().minimize(loss)
    with v1.Session() as sess, runner:
        sess.run(v1.global_variables_initializer())
        runner.start_threads(sess)
        run = sess.make_callable(step)
        for _ in range(5):
            run()
        before, begin = runner.stats().consumer_wait_s, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            run()
        return (runner.stats().consumer_wait_s - before) / (time.perf_counter() - begin)


def fit(data, seconds: float) -> float:
    """Examples per second of Keras on a dataset; its first epoch, in which the graph is made, is not counted."""
    model = tf.keras.Sequential([tf.keras.Input((PIXELS,)), tf.keras.layers.Dense(10)])
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    rows = model.fit(data, verbose=0) and sum(len(label) for _, label in data)
    epochs = 0
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        model.fit(data, verbose=0)
        epochs += 1
    return epochs * rows / (time.perf_counter() - begin)


def keras_rec(folder: Path, seconds: float) -> float:
    from recordio_bridge.tf import CustomRunner

    with CustomRunner(str(folder / "examples.rec"), BATCH, fields=["pixels", "label"], shuffle=True, seed=1) as runner:
        return fit(runner.dataset(), seconds)


def keras_tf_data(folder: Path, seconds: float) -> float:
    spec = {"pixels": tf.io.FixedLenFeature([PIXELS], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)}

    def parse(serialized):
        row = tf.io.parse_example(serialized, spec)
        return row["pixels"], row["label"]

    data = tf.data.TFRecordDataset(str(folder / "rows.tfrecord")).shuffle(10_000).batch(BATCH)
    return fit(data.map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE), seconds)


def drain(data, seconds: float) -> float:
    """Images per second of a dataset of batches of images, which has no end."""
    batches = iter(data)
    next(batches), next(batches)
    images, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        images += len(next(batches)[0])
    return images / (time.perf_counter() - begin)


def region(encoded):
    """A random window of a JPEG, of which nothing else is decoded."""
    shape = tf.io.extract_jpeg_shape(encoded)
    top = tf.random.uniform([], 0, shape[0] - CROP + 1, tf.int32)
    left = tf.random.uniform([], 0, shape[1] - CROP + 1, tf.int32)
    return tf.io.decode_and_crop_jpeg(encoded, [top, left, CROP, CROP], channels=3)


def whole(encoded):
    """A random window of a JPEG that is decoded whole."""
    return tf.image.random_crop(tf.io.decode_jpeg(encoded, channels=3), [CROP, CROP, 3])


def photos_transform(folder: Path, seconds: float) -> float:
    from recordio_bridge import images
    from recordio_bridge.tf import CustomRunner

    crop = images.decode_and_crop(CROP, random_crop=True)
    with CustomRunner(str(folder / "photos.rec"), IMAGES, fields=["image"], transform=crop, epochs=_ENDLESS) as runner:
        return drain(runner.dataset(n_threads=2), seconds)


def photos_map(folder: Path, seconds: float) -> float:
    from recordio_bridge.tf import CustomRunner

    with CustomRunner(str(folder / "photos.rec"), IMAGES, fields=["image"], epochs=_ENDLESS) as runner:
        data = runner.dataset().unbatch().map(region, num_parallel_calls=tf.data.AUTOTUNE)
        return drain(data.batch(IMAGES).map(lambda each: (each,)).prefetch(tf.data.AUTOTUNE), seconds)


def photos_tf_data(decode) -> Callable[[Path, float], float]:
    def run(folder: Path, seconds: float) -> float:
        spec = {"image": tf.io.FixedLenFeature([], tf.string)}
        data = tf.data.TFRecordDataset(str(folder / "photos.tfrecord")).repeat()
        data = data.map(
            lambda record: decode(tf.io.parse_single_example(record, spec)["image"]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return drain(data.batch(IMAGES).map(lambda each: (each,)).prefetch(tf.data.AUTOTUNE), seconds)

    return run


GRAPH = {
    "filled": filled,
    "tf.data": tf_data,
    "tfrecord-queues": tfrecord_queues,
    "posts": posts,
    "waiting": waiting,
    **{name: ours(name) for name in ("rec", "h5", "npz", "tfrecord")},
}
EAGER = {
    "keras-rec": keras_rec,
    "keras-tf.data": keras_tf_data,
    "photos-transform": photos_transform,
    "photos-map": photos_map,
    "photos-tf.data": photos_tf_data(whole),
    "photos-tf.data-region": photos_tf_data(region),
}


def make_files(folder: Path, rows: int) -> None:
    """The same rows in all formats; rows.rec has the pixels as raw bytes, examples.rec as Examples."""
    import recordio_bridge as rb

    random = np.random.default_rng(0)
    pixels, label = random.random((rows, PIXELS), dtype=np.float32), random.integers(0, 10, rows)
    for name in ("rows.h5", "rows.npz", "rows.tfrecord", "examples.rec"):
        rb.write(folder / name, {"pixels": pixels, "label": label})
    image = rb.Ragged.of([row.tobytes() for row in pixels])
    rb.write(folder / "rows.rec", {"id": np.arange(rows).astype("u8"), "label": label.astype("f4"), "image": image})


def enlarged(image: bytes) -> bytes:
    """As it is, or, where no window fits into it, ten times as large."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    if min(pixels.shape[:2]) >= CROP:
        return image
    return cv2.imencode(".jpg", cv2.resize(pixels, None, fx=10, fy=10))[1].tobytes()


def make_photos(folder: Path, source: Path, rows: int) -> None:
    """The images of a .rec, over and over, as photos.rec and photos.tfrecord."""
    import recordio_bridge as rb

    found = rb.open(source)
    batch = found.take(np.arange(rows) % len(found))
    images = [enlarged(image) for image in found.take(np.arange(len(found)))["image"]]
    batch = rb.Batch({**batch, "image": rb.Ragged.of([images[row % len(images)] for row in range(rows)])})
    rb.write(folder / "photos.rec", batch)
    rb.convert(folder / "photos.rec", folder / "photos.tfrecord", select={"image": "image"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=[*GRAPH, *EAGER])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    if args.step in EAGER:
        print(json.dumps(EAGER[args.step](args.folder, args.seconds)))
    else:
        with tf.Graph().as_default():
            print(json.dumps(GRAPH[args.step](args.folder, args.seconds)))
    sys.stdout.flush()
    os._exit(0)  # daemon threads of the posts' runner do not end by themselves


if __name__ == "__main__":
    sys.exit(main())
