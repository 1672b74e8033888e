"""Real training, in graph mode and by Keras: the loss falls, and Keras has nothing to warn of."""

from __future__ import annotations

import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import tensorflow as tf

import recordio_bridge as rb
from recordio_bridge.feed import position
from recordio_bridge.tf import CustomRunner
from tests.feed.deadline import feed_threads, until, within
from tests.feed.running_oracle import v1
from tests.samples import GOLDEN

SELECT = ["image=image", "label:int64=label"]


def scaled(batch: rb.Batch) -> dict[str, object]:
    """What the posts do to images, on the threads."""
    return {"image": batch["image"].reshape(len(batch), -1).astype(np.float32) / 255, "label": batch["label"]}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The 1,797 digits in every format that holds two columns."""
    folder, made = tmp_path_factory.mktemp("digits"), {"npz": GOLDEN / "digits.npz"}
    for suffix in ("rec", "tfrecord", "h5"):
        made[suffix] = folder / f"digits.{suffix}"
        rb.convert(made["npz"], made[suffix], verify="none")
    with np.load(made["npz"]) as columns:
        rows = np.empty(1797, [("image", "u1", (8, 8)), ("label", "i8")])
        for name in columns:
            rows[name] = columns[name]
    made["npy"] = folder / "digits.npy"
    np.save(made["npy"], rows)
    return made


def model() -> tf.keras.Model:
    tf.keras.utils.set_random_seed(1)
    layers = [tf.keras.Input((64,)), tf.keras.layers.Dense(10)]
    made = tf.keras.Sequential(layers)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(tf.keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return made


def trained(dataset: object, **options: object) -> dict[str, list[float]]:
    """The history of a fit in which every warning is an error."""

    def fit() -> dict[str, list[float]]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # shuffle is True by default, of which Keras warns for any tf.data.Dataset
            return model().fit(dataset, verbose=0, shuffle=False, **options).history

    return within(120, fit)


@pytest.mark.parametrize("suffix", ["rec", "tfrecord", "h5", "npz", "npy"])
def test_softmax_regression_in_graph_mode_learns_the_digits(digits, suffix):
    def train() -> list[float]:
        losses = []
        with tf.Graph().as_default():
            v1.set_random_seed(1)
            select = ["image=data/image", "label=data/label"] if suffix == "npy" else None
            options = {"select": select, "epochs": 4, "transform": scaled}
            runner = CustomRunner(digits[suffix], 128, shuffle=True, seed=1, **options)
            with tf.device("/cpu:0"):
                images, labels = runner.get_inputs()
            weights = v1.get_variable("w1", [64, 10])
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.matmul(images, weights))
            mean = tf.reduce_mean(loss)
            step = v1.train.AdamOptimizer(0.05).minimize(mean)
            with v1.Session() as sess, runner:
                sess.run(v1.global_variables_initializer())
                runner.start_threads(sess, n_threads=2)
                try:
                    while True:
                        losses.append(sess.run((step, mean))[1])
                except tf.errors.OutOfRangeError:
                    pass
        return losses

    losses = within(120, train)
    assert len(losses) == 4 * 15  # 1,797 rows in batches of 128
    assert np.mean(losses[-15:]) < 0.6 < 2 < losses[0]


@pytest.mark.parametrize("suffix", ["rec", "tfrecord", "h5", "npz"])
def test_fit_learns_the_digits_in_several_epochs(digits, suffix):
    with CustomRunner(digits[suffix], 128, shuffle=True, seed=1, transform=scaled) as runner:
        dataset = runner.dataset(n_threads=2)
        assert int(dataset.cardinality()) == 15
        history = trained(dataset, epochs=3)
        assert runner.stats().rows == 3 * 1797
        assert (runner.state()["epoch"], runner.state()["batch"]) == (3, 0)
    assert len(history["loss"]) == 3
    assert history["loss"][0] > history["loss"][1] > history["loss"][2]
    assert history["accuracy"][-1] > 0.85


def test_fit_validates_after_every_epoch_on_all_rows(digits):
    with (
        CustomRunner(digits["rec"], 128, shuffle=True, seed=1, transform=scaled) as training,
        CustomRunner(digits["h5"], 100, transform=scaled) as validation,
    ):
        history = trained(training.dataset(), validation_data=validation.dataset(), epochs=3)
        assert validation.stats().rows == 3 * 1797
    assert history["val_loss"][2] < history["val_loss"][0]
    assert len(history["val_accuracy"]) == 3


def test_validation_is_no_time_of_the_feed_that_trains(digits):
    class Times(tf.keras.callbacks.Callback):
        def on_test_begin(self, logs=None):
            until(lambda: not feed_threads())  # of the pass that is over
            self.begun, self.elapsed = perf_counter(), training.stats().elapsed_s

        def on_test_end(self, logs=None):
            self.ended = perf_counter()
            assert training.stats().elapsed_s == self.elapsed

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1 and hasattr(self, "ended"):
                grown.append(training.stats().elapsed_s - self.elapsed)
                left.append(perf_counter() - self.ended)

    grown, left = [], []
    with (
        CustomRunner(digits["rec"], 128, shuffle=True, seed=1, transform=scaled) as training,
        CustomRunner(digits["h5"], 100, transform=scaled) as validation,
    ):
        trained(training.dataset(), validation_data=validation.dataset(), epochs=3, callbacks=[Times()])
    assert len(grown) == 2
    assert all(0 < more <= most for more, most in zip(grown, left, strict=True))


@pytest.mark.parametrize("steps", [15, 4])
def test_fit_takes_steps_per_epoch_of_what_repeats(digits, steps):
    with CustomRunner(digits["rec"], 128, shuffle=True, seed=1, transform=scaled) as runner:
        dataset = runner.dataset().repeat()
        history = trained(dataset, epochs=5, steps_per_epoch=steps, validation_data=dataset, validation_steps=2)
    assert len(history["loss"]) == 5
    assert history["loss"][4] < history["loss"][0]


def test_fit_takes_steps_per_epoch_that_are_the_whole_epoch(digits):
    with CustomRunner(digits["npz"], 128, shuffle=True, seed=1, transform=scaled) as runner:
        history = trained(runner.dataset(), epochs=3, steps_per_epoch=15)
        assert len(history["loss"]) == 3


@pytest.mark.parametrize("suffix", ["rec", "tfrecord"])
def test_files_that_are_not_shuffled_are_fitted_without_a_warning(digits, suffix):
    with CustomRunner(digits[suffix], 128, transform=scaled) as runner:
        dataset = runner.dataset()
        history = trained(dataset, epochs=2, validation_data=dataset)
        assert runner.stats().rows == 4 * 1797
    assert len(history["val_loss"]) == 2


def test_an_iterator_of_unknown_length_is_fitted(digits):
    images, labels = (np.load(digits["npz"])[name] for name in ("image", "label"))

    def data_iterator():
        for at in range(0, len(images), 100):
            yield images[at : at + 100].reshape(-1, 64).astype(np.float32) / 255, labels[at : at + 100]

    with CustomRunner(data_iterator, 128) as runner:
        dataset = runner.dataset()
        assert int(dataset.cardinality()) == tf.data.UNKNOWN_CARDINALITY
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Your input ran out")  # which Keras says of any such dataset, once
            history = within(60, lambda: model().fit(dataset, epochs=3, verbose=0, shuffle=False)).history
    assert history["loss"][2] < history["loss"][0]


def test_evaluate_and_predict_see_every_row_once(digits):
    made = model()
    with CustomRunner(digits["tfrecord"], 128, transform=scaled) as runner:
        dataset = runner.dataset()
        loss, accuracy = within(60, lambda: made.evaluate(dataset, verbose=0))
        assert np.isfinite(loss)
        assert 0 <= accuracy <= 1
        assert within(60, lambda: made.predict(dataset, verbose=0)).shape == (1797, 10)


def test_a_fit_that_was_stopped_early_is_followed_by_full_epochs(digits):
    class Stop(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                self.model.stop_training = True

    with CustomRunner(digits["rec"], 128, shuffle=True, seed=1, transform=scaled) as runner:
        dataset = runner.dataset()
        trained(dataset, epochs=2, callbacks=[Stop()])
        before = runner.stats().rows
        trained(dataset, epochs=2)
        assert runner.stats().rows == before + 2 * 1797


def test_fit_goes_on_with_a_state_in_the_order_of_an_uninterrupted_run(digits):
    options = {"batch_size": 128, "shuffle": True, "seed": 1, "transform": scaled}
    with CustomRunner(digits["rec"], **options) as runner:
        whole = trained_weights(model(), runner.dataset(), 3)
    with CustomRunner(digits["rec"], **options) as runner:
        made = model()
        trained_weights(made, runner.dataset(), 1)
        state = runner.state()
    with CustomRunner(digits["rec"], **options, state=state) as runner:
        assert np.array_equal(trained_weights(made, runner.dataset(), 2), whole)


def trained_weights(made: tf.keras.Model, dataset: object, epochs: int) -> np.ndarray:
    within(60, lambda: made.fit(dataset, epochs=epochs, verbose=0, shuffle=False))
    return made.get_weights()[0]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of the rest of the first epoch
def test_epochs_behind_one_that_was_gone_on_with_are_whole(digits):
    options = {"batch_size": 128, "select": SELECT, "transform": scaled, "shuffle": True, "seed": 5}
    with CustomRunner(digits["h5"], **options) as runner:
        for _ in runner.dataset().take(5):
            pass
        state = runner.state()
    with CustomRunner(digits["h5"], **options, state=state) as runner:
        within(120, lambda: model().fit(runner.dataset(), epochs=3, verbose=0, shuffle=False))
        assert runner.stats().rows == 3 * 1797 - 5 * 128
        assert (runner.state()["epoch"], runner.state()["batch"]) == (3, 0)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_batch_of_which_nothing_is_left_is_not_fitted(digits):
    def sifted(batch: rb.Batch) -> dict[str, object]:
        return {name: column[: 0 if position.get().batch == 3 else None] for name, column in scaled(batch).items()}

    options = {"batch_size": 128, "select": SELECT, "transform": sifted}
    with CustomRunner(digits["h5"], **options) as runner:
        history = within(120, lambda: model().fit(runner.dataset(), epochs=2, verbose=0, shuffle=False).history)
        assert runner.stats().rows == 2 * (1797 - 128)
    assert np.isfinite(history["loss"]).all()


def test_an_exception_on_a_thread_ends_a_fit_with_its_reason(digits):
    def transform(batch: rb.Batch) -> dict[str, object]:
        if transform.calls == 7:
            raise ZeroDivisionError("on purpose")
        transform.calls += 1
        return scaled(batch)

    transform.calls = 0

    def fit() -> None:
        with CustomRunner(digits["rec"], 128, transform=transform) as runner:
            model().fit(runner.dataset(), epochs=3, verbose=0, shuffle=False)

    with pytest.raises(rb.FeedError, match="on purpose") as info:
        within(60, fit)
    assert isinstance(info.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("suffix", ["npz", "tfrecord"])
def test_a_fit_with_nothing_to_feed_is_told_in_the_log(tmp_path, suffix, caplog):
    rb.write(tmp_path / f"few.{suffix}", {"image": np.zeros((5, 64), np.float32), "label": np.zeros(5, np.int64)})
    with CustomRunner(tmp_path / f"few.{suffix}", 8, drop_remainder=True) as runner:
        dataset = runner.dataset()
        assert int(dataset.cardinality()) == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some versions of Keras have something to say of it
            within(120, lambda: model().fit(dataset, verbose=0, shuffle=False, epochs=2))
    assert [record.getMessage() for record in caplog.records if record.name.startswith("recordio_bridge")] == [
        "there is nothing to feed: drop_remainder leaves none of the 5 rows, which are fewer than batch_size=8"
    ]
