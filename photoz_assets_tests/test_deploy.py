"""Dagster's instances differ in where they store and in what they start runs with, and in nothing else."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
OWN: Final = {"storage", "run_launcher"}


def _instance(name: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return settings


@pytest.mark.parametrize("name", ["celery/dagster.yaml", "kubernetes/dagster.yaml"])
def test_instance_on_many_machines_is_that_on_postgres_with_a_launcher(name: str) -> None:
    postgres, other = _instance("dagster.postgres.yaml"), _instance(name)
    assert other["storage"] == postgres["storage"]
    assert set(other) - set(postgres) == {"run_launcher"}
    assert {key: value for key, value in other.items() if key not in OWN} == {
        key: value for key, value in postgres.items() if key not in OWN
    }


def test_runs_on_kubernetes_get_the_location_s_settings_and_secrets() -> None:
    launcher = _instance("kubernetes/dagster.yaml")["run_launcher"]["config"]
    location, _ = yaml.safe_load_all((DEPLOY / "kubernetes" / "location.yaml").read_text())
    [container] = location["spec"]["template"]["spec"]["containers"]
    [settings] = [source["configMapRef"]["name"] for source in container["envFrom"] if "configMapRef" in source]
    secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
    assert (launcher["env_config_maps"], launcher["env_secrets"]) == ([settings], secrets)
    assert launcher["service_account_name"] == location["spec"]["template"]["spec"]["serviceAccountName"]
