"""What the tests of both packages share: the archive, and in how many processes `make test` runs them."""

import os

pytest_plugins = ["photoz_archive_tests.shared"]


def pytest_xdist_auto_num_workers() -> int:
    """Return a process more than there are cores: many tests wait for what they have started."""
    return (os.cpu_count() or 1) + 1
