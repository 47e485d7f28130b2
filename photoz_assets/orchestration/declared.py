"""What the location's definitions say of a resource, whatever a run's configuration says.

Whoever reaches the page writes the configuration of runs, but a run is to read and write what its location names.
"""

import os
from collections.abc import Mapping

import dagster as dg


def declared(context: dg.InitResourceContext, field: str) -> str | None:
    """Return a field of the resource that is being set up as the location's definitions have it."""
    schema = context.resource_def.config_schema
    fields = schema.default_value if schema.default_provided else {}
    # A resource within another is not for a run to configure.
    value = fields.get(field, context.resource_config.get(field))
    # Definitions hold an `EnvVar` by its name.
    return os.environ.get(value["env"]) if isinstance(value, Mapping) else value
