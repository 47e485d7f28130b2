"""A running query's result: batches of rows on their way out, with what is known of them at the end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from photoz_archive.service.errors import ServiceError
from photoz_archive.service.fields import VOTableField, conform


@dataclass
class ResultWriter:
    """A result that can be read once.

    ``overflow``, ``rows`` and ``failure`` hold when the batches have all been read. A failure after the first
    batch does not raise, because the answer has begun; whoever writes the footer reports it.
    ``truncate_after_bytes`` is a fault: the length at which the encoded result ends.
    """

    fields: tuple[VOTableField, ...]
    source: Iterator[pa.RecordBatch]
    max_rows: int
    overflow: bool = False
    rows: int = 0
    failure: str | None = None
    truncate_after_bytes: int | None = None
    on_close: Callable[[], None] = lambda: None

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of the fields' types, ``max_rows`` rows at most."""
        try:
            for batch in self.source:
                kept = batch.slice(0, self.max_rows - self.rows)
                self.overflow = self.overflow or kept.num_rows < batch.num_rows
                self.rows += kept.num_rows
                if kept.num_rows:
                    yield conform(kept, self.fields)
        except (ServiceError, pa.ArrowInvalid) as error:
            self.failure = str(error)
        finally:
            self.close()

    def close(self) -> None:
        """Release the database; a second call does nothing."""
        self.on_close()
        self.on_close = lambda: None
