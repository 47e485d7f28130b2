"""The root of this project's errors. Each room has its own below it; what a bug raises is none of them."""


class PhotozError(Exception):
    """Something outside the program went wrong.

    The text is for people: what happened, to what, and what to do next, in one line. The command line shows it
    as it is, and an asset fails with it; any other exception is a bug and keeps its traceback.
    """
