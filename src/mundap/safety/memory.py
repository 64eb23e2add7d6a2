"""Results remembered without what they are about: a later turn need not judge the whole talk again."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_MOST = 4096


class Memory(Generic[T]):
    """The latest 4,096 results by a digest with a secret of this process: nothing that was said is kept in memory."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, T] = OrderedDict()
        self._lock = Lock()

    def recall(self, about: Any, make: Callable[[], T]) -> T:
        """The result for `about`, made once. Whatever `make` raises is raised and nothing is remembered."""
        key = blake2b(repr(about).encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        made = make()
        with self._lock:
            self._known[key] = made
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return made
