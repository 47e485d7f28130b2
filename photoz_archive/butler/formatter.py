"""The reader that coadds are taken into a repository with, which demands one that can be imported."""

from lsst.daf.butler import FormatterV2


class CoaddFormatter(FormatterV2):
    """Names files of coadds; it reads none, for the repository names the stack's reader in the end."""

    default_extension = ".fits"
