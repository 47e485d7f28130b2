"""Write docs/assets.md: every asset, its checks and its columns, from the definitions and the contracts.

Run it as `make docs` after a change of either; a test sees that the page is current. The page pins the columns of
each version of a table: other columns under the same version are refused.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg

from photoz_assets.definitions import build_definitions, tables_of
from photoz_assets.orchestration.partitions import PROFILE_PARTITIONS
from photoz_assets.survey.releases.dp02 import RELEASE
from photoz_assets.survey.table import TableSpec

_INTRODUCTION = """# Assets and columns

Made by `make docs` from the definitions and the contracts: change those, not this page. Types are Arrow's; a
column may hold NULL unless its type says *not null*. Units are in VOUnit syntax, UCDs of the IVOA's list.
"""

_TABLES: Final = tables_of(RELEASE)

# How the page names a table, the version of its code and the digest of its columns.
_PINNED: Final = re.compile(
    r"^### (\w+)$(?:(?!^### ).)*?^Version (\d+), \d+ columns \(`(\w+)`\)", re.MULTILINE | re.DOTALL
)


def page() -> str:
    """Return the page's text."""
    graph = build_definitions(release=RELEASE).resolve_asset_graph()
    keys = sorted(
        graph.materializable_asset_keys,
        key=lambda key: (graph.get(key).group_name, graph.toposorted_asset_keys.index(key)),
    )
    lines = [_INTRODUCTION, "```mermaid", *mermaid(graph), "```", ""]
    group = None
    for key in keys:
        node = graph.get(key)
        if node.group_name != group:
            group = node.group_name
            lines += [f"## {group}", ""]
        lines += [*_asset(graph, key), ""]
    return "\n".join(lines)


def mermaid(graph: "dg.AssetGraph") -> Iterator[str]:
    """Yield the asset graph as a Mermaid diagram, the archive's own tables dashed."""
    yield "flowchart LR"
    for key in sorted(graph.external_asset_keys, key=str):
        yield f"    {_node(key)}([{key.to_user_string()}]):::archive"
    for key in sorted(graph.materializable_asset_keys, key=str):
        for parent in sorted(graph.get(key).parent_keys, key=str):
            yield f"    {_node(parent)} --> {_node(key)}"
    yield "    classDef archive stroke-dasharray: 4 3"


def _node(key: dg.AssetKey) -> str:
    return "__".join(key.path)


def _asset(graph: "dg.AssetGraph", key: dg.AssetKey) -> Iterator[str]:
    node = graph.get(key)
    name = key.to_user_string()
    yield f"### {name}"
    yield ""
    yield str(node.description)
    yield ""
    made_of = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)) or "nothing"
    yield f"{_partitioned(node.partitions_def)}; made of {made_of}."
    checks = sorted(
        (spec for check in graph.asset_check_keys if (spec := graph.get_check_spec(check)).asset_key == key),
        key=lambda spec: spec.name,
    )
    if checks:
        yield ""
        yield "| check | blocks | what it says |"
        yield "|---|---|---|"
        for spec in checks:
            yield f"| `{spec.name}` | {'yes' if spec.blocking else 'warns'} | {spec.description} |"
    if name in _TABLES:
        yield ""
        yield from _columns(_TABLES[name])


def _partitioned(partitions: dg.PartitionsDefinition[str] | None) -> str:
    if partitions is None:
        return "Not partitioned"
    return f"Partitioned by {'profile' if partitions == PROFILE_PARTITIONS else 'tract'}"


def _columns(spec: TableSpec) -> Iterator[str]:
    yield f"Version {spec.version}, {len(spec.columns)} columns (`{spec.fingerprint}`):"
    yield ""
    yield "| column | type | unit | UCD | what it is |"
    yield "|---|---|---|---|---|"
    for column in spec:
        kind = f"{column.type}" if column.nullable else f"{column.type}, not null"
        description = column.description.replace("|", "\\|")
        yield f"| `{column.name}` | {kind} | {column.unit or ''} | {column.ucd or ''} | {description} |"


def without_new_version(former: str) -> list[str]:
    """List the tables whose columns are others than a former page has, under the same version.

    Parameters
    ----------
    former
        The page's text as it was.
    """
    pinned = {name: (version, columns) for name, version, columns in _PINNED.findall(former)}
    return [
        name
        for name, spec in _TABLES.items()
        if name in pinned and pinned[name][0] == spec.code_version and pinned[name][1] != spec.fingerprint
    ]


def main() -> None:
    """Write the page, unless a table has other columns under its former version."""
    path = Path(__file__).parents[1] / "docs" / "assets.md"
    if changed := without_new_version(path.read_text()):
        sys.exit(
            f"the columns of {', '.join(changed)} have changed: raise the version in its spec (survey/contracts)"
        )
    path.write_text(page())


if __name__ == "__main__":
    main()
