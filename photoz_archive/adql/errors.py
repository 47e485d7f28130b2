"""The errors of queries, in words for whoever wrote the query."""

from sqlglot import exp


class AdqlError(ValueError):
    """A query that the service will not run: what is wrong, where, and what was expected.

    Attributes
    ----------
    line, column
        Position in the query, both counted from 1; None where the fault has no single place.
    """

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        self.line = line
        self.column = column
        place = "" if line is None else f" (line {line}, column {column})"
        super().__init__(message + place)

    @classmethod
    def at(cls, node: exp.Expr, message: str) -> "AdqlError":
        """Build the error at the first position that ``node``, a part of it or the whole around it carries."""
        for whole in (node, node.parent):
            for part in whole.walk(bfs=False) if whole is not None else ():
                meta = part.meta
                if "line" in meta and "start" in meta:
                    # sqlglot gives the column of a token's last character.
                    column = meta["col"] - (meta["end"] - meta["start"])
                    return cls(message, line=meta["line"], column=column)
        return cls(message)
