"""Write docs/assets.md: every asset, its checks and its columns, from the definitions and the contracts.

Run it as `make docs` after a change of either; a test sees that the page is current.
"""

from collections.abc import Iterator

import dagster as dg

from photoz_assets.definitions import TABLES, defs
from photoz_assets.survey.table import Contract

_INTRODUCTION = """# Assets and columns

Made by `make docs` from the definitions and the contracts: change those, not this page. Types are Arrow's; a
column may hold NULL unless its type says *not null*. Units are in VOUnit syntax, UCDs of the IVOA's list.
"""


def page() -> str:
    """Give the page's text."""
    graph = defs.resolve_asset_graph()
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
    yield f"{'Partitioned by tract' if node.partitions_def else 'Not partitioned'}; made of {made_of}."
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
    if name in TABLES:
        yield ""
        yield from _columns(TABLES[name])


def _columns(contract: Contract) -> Iterator[str]:
    yield f"{len(contract.columns)} columns:"
    yield ""
    yield "| column | type | unit | UCD | what it is |"
    yield "|---|---|---|---|---|"
    for column in contract:
        kind = f"{column.type}" if column.nullable else f"{column.type}, not null"
        description = column.description.replace("|", "\\|")
        yield f"| `{column.name}` | {kind} | {column.unit or ''} | {column.ucd or ''} | {description} |"


if __name__ == "__main__":
    print(page(), end="")
