"""The archive that the tests of both packages share: named here, at the root of both, it is one for all."""

pytest_plugins = ["photoz_archive_tests.shared"]
