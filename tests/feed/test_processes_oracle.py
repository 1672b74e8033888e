"""CustomRunner in programs of their own: several devices, forks, and programs that forget to stop it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.feed.forked import run_program
from tests.feed.sources import FORMATS, ROWS, SIZE, write

ORDERED = list(range(ROWS))


def test_a_strategy_of_several_devices_gives_every_row_once_and_fit_runs_under_it(tmp_path):
    program = """
        import json, sys
        import tensorflow as tf
        from recordio_bridge.tf import CustomRunner
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        runners = []

        def make(context=None, fields=("id",)):
            shard = None if context is None else (context.input_pipeline_id, context.num_input_pipelines)
            runners.append(CustomRunner(sys.argv[1], 10, fields=fields, shuffle=True, seed=1, shard=shard))
            return runners[-1].dataset(n_threads=2)

        for distributed in (
            strategy.experimental_distribute_dataset(make()), strategy.distribute_datasets_from_function(make)
        ):
            for _ in range(2):
                rows = []
                for values in distributed:
                    for part in strategy.experimental_local_results(strategy.run(tf.identity, [values[0]])):
                        rows += part.numpy().tolist()
                print(json.dumps(rows))
        with strategy.scope():
            model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(10)])
            model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = model.fit(make(fields=("x", "label")), epochs=2, verbose=0, shuffle=False).history
        print(len(history["loss"]))
        for runner in runners:
            runner.stop()
    """
    ended = run_program(program, write(tmp_path, "rec"))
    assert ended.returncode == 0, ended.stderr
    *epochs, fitted = map(json.loads, ended.stdout.splitlines())
    assert [sorted(rows) for rows in epochs] == [ORDERED] * 4
    assert epochs[0] != epochs[1]
    assert fitted == 2
    assert "ran out of data" not in ended.stderr


def test_a_fork_with_threads_running_is_told_in_the_child(tmp_path):
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        import tensorflow as tf
        from recordio_bridge import FeedError
        from recordio_bridge.tf import CustomRunner
        v1 = tf.compat.v1

        def in_child(call):
            child = os.fork()
            if child == 0:
                try:
                    call()
                except FeedError as err:
                    print(err, flush=True)
                    os._exit(7)
                os._exit(8)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

        eager = CustomRunner(sys.argv[1], 10, capacity=2)
        passing = iter(eager.dataset())
        next(passing)
        in_child(eager.dataset)
        with tf.Graph().as_default(), v1.Session() as sess:
            runner = CustomRunner(sys.argv[1], 10, capacity=2)
            inputs = runner.get_inputs()
            runner.start_threads(sess, 2)
            sess.run(inputs)
            in_child(runner.get_inputs)
            in_child(lambda: runner.start_threads(sess))
            for _ in range(30):
                sess.run(inputs)
            runner.stop()
        assert len(list(passing)) == 9
        eager.stop()
    """
    ended = run_program(program, write(tmp_path, "rec"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("forked") == 3


def test_a_program_that_forgets_to_stop_ends_all_the_same(tmp_path):
    program = """
        import sys
        import tensorflow as tf
        from recordio_bridge.tf import CustomRunner
        runners = [CustomRunner(path, 10, capacity=2) for path in sys.argv[1:]]
        passes = [iter(runner.dataset(2)) for runner in runners]
        print([len(next(each)[0]) for each in passes])
        tf.compat.v1.disable_eager_execution()
        runners += [CustomRunner(path, 10, capacity=2) for path in sys.argv[1:]]
        inputs = [runner.get_inputs() for runner in runners[5:]]
        sess = tf.compat.v1.Session()
        for runner in runners[5:]:
            runner.start_threads(sess, 2)
        print([len(each[0]) for each in sess.run(inputs)])
    """
    ended = run_program(program, *(write(tmp_path, suffix) for suffix in FORMATS))
    assert (ended.returncode, ended.stdout) == (0, f"{[SIZE] * 5}\n" * 2), ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_of_2016_runs_with_all_of_tensorflow_in_graph_mode(tmp_path: Path):
    program = """
        import sys
        import tensorflow.compat.v1 as tf
        tf.disable_v2_behavior()
        from recordio_bridge.tf import CustomRunner
        custom_runner = CustomRunner(sys.argv[1], batch_size=10, fields=["x", "label"], epochs=2)
        images_batch, labels_batch = custom_runner.get_inputs()
        w = tf.get_variable("w1", [3, 10])
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(logits=tf.matmul(images_batch, w), labels=labels_batch)
        train_op = tf.train.AdamOptimizer().minimize(tf.reduce_mean(loss))
        sess = tf.Session(config=tf.ConfigProto(intra_op_parallelism_threads=1))
        sess.run(tf.global_variables_initializer())
        tf.train.start_queue_runners(sess=sess)
        custom_runner.start_threads(sess)
        steps = 0
        try:
            while True:
                sess.run(train_op)
                steps += 1
        except tf.errors.OutOfRangeError:
            custom_runner.stop()
        print(steps)
    """
    ended = run_program(program, write(tmp_path, "rec"))
    assert (ended.returncode, ended.stdout) == (0, "20\n"), ended.stderr


@pytest.mark.parametrize(
    "end",
    [
        "for _ in runner.dataset(3): break",  # with its threads in the midst of C code
        "begun = iter(runner.dataset(3).repeat().prefetch(4)); next(begun)",  # with TensorFlow's in the midst of ours
        "begun = iter(rows.dataset(2).repeat().prefetch(2)); next(begun)",
    ],
    ids=["broken off", "prefetched", "by rows"],
)
def test_a_program_that_ends_in_the_middle_of_a_pass_ends_well(tmp_path, end):
    program = f"""
        import sys
        import numpy as np
        from recordio_bridge.tf import CustomRunner

        def transform(batch):
            np.sort(np.random.default_rng(0).random(1 << 20))
            return batch

        runner = CustomRunner(sys.argv[1], 10, transform=transform)
        rows = CustomRunner(sys.argv[1], 10, unit="row")
        {end}
        sys.exit(4)
    """
    ended = run_program(program, write(tmp_path, "rec"))
    assert ended.returncode == 4, ended.stderr
    assert "terminate called" not in ended.stderr
