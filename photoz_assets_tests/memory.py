"""How much memory a piece of code takes, by what Python and Arrow hand out."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def within_memory(most_bytes: int) -> Iterator[None]:
    """Fail if a block holds more than so many bytes of Python's at a time, or of Arrow's at its end."""
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        yield
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < most_bytes
    assert pa.total_allocated_bytes() - held < most_bytes
