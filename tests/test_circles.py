"""Import circles over the typed graph: every import counts, also one for type checkers only or inside a function."""

import ast
from pathlib import Path

import networkx as nx

SRC = Path(__file__).parents[1] / "src"


def modules(src):
    """Return the path of every module below a folder, by its dotted name."""
    names = {path: ".".join(path.relative_to(src).with_suffix("").parts) for path in src.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def import_graph(src):
    """Return the graph whose edges lead from a module to each module of the same folder that it imports."""
    paths = modules(src)
    graph = nx.DiGraph()
    graph.add_nodes_from(paths)
    for name, path in paths.items():
        for found in imported(ast.parse(path.read_text()), paths):
            if found != name:
                graph.add_edge(name, found)
    return graph


def imported(tree, known):
    """Yield the known modules that a module imports; ``from a import b`` means ``a.b`` where that is a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in known:
                    yield inner
                elif node.module in known:
                    yield node.module


def circles(graph):
    """Return the sets of modules that import each other, directly or through others."""
    return [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]


def test_no_modules_import_each_other():
    assert circles(import_graph(SRC)) == []


def test_circles_through_type_checking_functions_and_packages_are_found(tmp_path):
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("from p import b\n")
    (package / "b.py").write_text("def f():\n    import p.c\n")
    (package / "c.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import A\n")
    (package / "d.py").write_text("import p.a\n")
    assert circles(import_graph(tmp_path)) == [["p.a", "p.b", "p.c"]]
