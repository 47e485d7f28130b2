"""The old import path of ``connect``, kept for the notebooks that have it; nothing else belongs here."""
