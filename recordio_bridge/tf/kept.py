"""Objects of Python that live as long as something of TensorFlow: a dataset, or an iterator over one.

TensorFlow keeps the functions that it calls in Python, and all that they hold, for as long as the process lives. So
those hold nothing, and are told by a token what they are about: an array with a number, of which TensorFlow keeps the
array itself and not a copy, since it is aligned. When the array goes, so does the object.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Generic, TypeVar

import numpy as np
import tensorflow as tf

from ..errors import FeedError
from ..memory import aligned_empty
from .components import Array, Tensor

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """Objects by their tokens.

    Args:
        let_go: is called with an object whose token is gone: on any thread, in the midst of whatever that does.
    """

    def __init__(self, let_go: Callable[[_T], None]) -> None:
        self._let_go = let_go
        self._numbers = count()
        self._all: dict[int, _T] = {}
        # as a graph: to an eager tensor, the array would be copied
        self._tensor = tf.function(lambda number: tf.numpy_function(self._token, [number], tf.int64))

    def token(self, one: _T) -> Array:
        """A token of an object, for a tf.numpy_function in a graph to return."""
        return self._token(self._number(one))

    def tensor(self, one: _T) -> Tensor:
        """A token as an eager tensor."""
        with tf.device("/cpu:0"):
            return self._tensor(tf.constant(self._number(one), tf.int64))

    def all(self) -> list[_T]:
        """Those whose tokens are not gone."""
        return list(self._all.values())

    def __getitem__(self, token: Array) -> _T:
        """The object of a token.

        Raises:
            FeedError: it is gone.
        """
        try:
            return self._all[int(token[0])]
        except KeyError:
            raise FeedError("this dataset, or this pass over it, is gone; begin another") from None

    def _number(self, one: _T) -> int:
        number = next(self._numbers)
        self._all[number] = one
        return number

    def _token(self, number: int | np.int64) -> Array:
        token = aligned_empty(1, np.int64)
        token[0] = number
        weakref.finalize(token, self._drop, int(number)).atexit = False  # the object is in use until then
        return token

    def _drop(self, number: int) -> None:
        self._let_go(self._all.pop(number))
