"""Feeding: batches of a source from background threads, behind a bounded queue. Needs no TensorFlow.

    source  ->  Supply: the batches of each epoch, shuffled as indices    supply.py, rows.py, streams.py,
                                                                          dataiter.py
            ->  Schedule: which batch comes when, and from where to go on  schedule.py
            ->  Pump: threads that make them and hand them over in order   pump.py
            ->  a Sink: a bounded queue of ours, or one of TensorFlow's    pump.py, tf/

The order is that of the Schedule for any number of threads: they read and transform side by side, and hand over in
turn. So the same seed gives the same batches, and a State (epoch, batch) says all that is needed to go on.
"""

from .feeder import Feeder
from .gauge import Stats
from .schedule import Position, position

__all__ = ["Feeder", "Position", "Stats", "position"]
