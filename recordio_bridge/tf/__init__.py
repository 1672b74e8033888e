"""What needs TensorFlow, of which this package is the only importer: CustomRunner, and parse_spec.

graph mode      runner.get_inputs(), then runner.start_threads(sess): a TensorFlow queue, as in 2016      graph.py
eager, Keras    runner.dataset(): a tf.data.Dataset; each pass over it is an epoch                        eager.py
"""

from ..errors import MissingDependencyError

try:
    import tensorflow  # noqa: F401  # here, so that what is missing is said once
except ImportError as err:
    raise MissingDependencyError.for_extra("tensorflow", "tensorflow-cpu", "recordio_bridge.tf") from err

from .parse import parse_spec
from .runner import CustomRunner

__all__ = ["CustomRunner", "parse_spec"]
