"""What the location's definitions say of a resource, whatever a run's configuration says.

Whoever reaches the page writes the configuration of runs, but a run is to read and write what its location names,
and to show nobody the tokens of its environment, which a configuration can name.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from photoz_assets.environment import SettingError, tokens


class LocationResource(dg.ConfigurableResource[Any]):
    """A resource that knows what its location's definitions say, once a run has configured it."""

    _declared: dict[str, Any] = PrivateAttr(default_factory=dict)
    _holds_token: bool = PrivateAttr(default=False)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Take note of what the definitions say, and of what the run's configuration does."""
        schema = context.resource_def.config_schema
        # A resource within another is not for a run to configure: the other's fields are not its own.
        self._declared = dict(schema.default_value) if schema.default_provided else {}
        self._holds_token = not tokens().isdisjoint(_texts(context.resource_config))

    def declared(self, field: str) -> Any:
        """Return a field as the location's definitions have it."""
        value = self._declared.get(field, getattr(self, field))
        # Definitions hold an `EnvVar` by its name.
        return os.environ.get(value["env"]) if isinstance(value, Mapping) else value

    def refuse_tokens(self) -> None:
        """Refuse a configuration that holds a token, before its values are shown.

        Raises
        ------
        SettingError
            It does.
        """
        if self._holds_token:
            raise SettingError(
                "this run's configuration takes a setting from the variable of a token, which no page may show: "
                "give the setting itself"
            )


def _texts(config: Any) -> Iterator[str]:
    """Yield the texts within a configuration."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, Mapping):
        for value in config.values():
            yield from _texts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _texts(value)
