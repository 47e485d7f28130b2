"""The web side of the embedded archive: TAP 1.1, UWS 1.1 and VOSI over HTTP, results in six formats.

``server`` starts it; ``app`` has the routes; ``engine`` runs queries; ``jobs`` keeps them; ``formats`` and
``votable`` encode results; ``uws`` and ``vosi`` build documents; ``profile`` and ``faults`` say how it behaves.
"""
