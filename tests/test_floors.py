"""Who may import whom, and how long files and functions may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "secateur"
FILES = sorted(SRC.rglob("*.py"))
FLOORS = {
    "core": 0,
    **dict.fromkeys(("scores", "extrapolation", "selection", "grouping", "mapping", "dynamic"), 1),
    **dict.fromkeys(("data", "models"), 2),
    **dict.fromkeys(("training", "tracking", "interop"), 3),
    "runs": 4,
    **dict.fromkeys(("report", "verify", "launch"), 5),
    "cli": 6,
}
HEAVY = {"pytorch_lightning", "lightning", "lightning_fabric", "hydra", "omegaconf", "wandb"}  # not on floors 0 and 1
LAZY = {"torch_geometric", "faiss", "sklearn"}  # only inside functions
MAX_FUNCTION = 80
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def imported(node):
    """Return the modules that an import statement names; ``from a import b`` may mean the module ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if node.module != "secateur" else [f"secateur.{alias.name}" for alias in node.names]


def imports(tree, inside=False):
    """Yield every imported module, and whether the import lies inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not getattr(node, "level", 0), "imports are absolute here"
            yield from ((module, inside) for module in imported(node))
        yield from imports(node, inside or isinstance(node, FUNCTIONS))


def import_problems(folder, source):
    """Return what a file in a folder of src/secateur may not import."""
    floor, problems = FLOORS[folder], []
    for module, inside in imports(ast.parse(source)):
        package, *rest = module.split(".")
        if package == "secateur" and rest and rest[0] in FLOORS and rest[0] != folder and FLOORS[rest[0]] >= floor:
            problems.append(f"{module} lies on floor {FLOORS[rest[0]]}, {folder} on {floor}")
        if package in HEAVY and floor < 2:
            problems.append(f"{package} on floor {floor}")
        if package in LAZY and not inside:
            problems.append(f"{package} outside a function")
    return problems


def length_problems(source):
    """Return which functions of a file are too long."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, FUNCTIONS)]
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in functions}
    return [f"{name} has {lines} lines" for name, lines in lengths.items() if lines > MAX_FUNCTION]


def test_every_folder_has_a_floor():
    assert len(FILES) > 80
    folders = {path.name for path in SRC.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == FLOORS.keys()


@pytest.mark.parametrize("folder", FLOORS)
def test_files_import_their_own_folder_and_lower_floors(folder):
    found = {path.name: import_problems(folder, path.read_text()) for path in (SRC / folder).rglob("*.py")}
    assert found
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("core", "from secateur.scores.base import Score"),
        ("scores", "import secateur.selection.top"),
        ("scores", "from secateur import data"),
        ("training", "def f():\n    from secateur.tracking import provenance"),
        ("dynamic", "def f():\n    import omegaconf"),
        ("mapping", "from pytorch_lightning.callbacks import Callback"),
        ("extrapolation", "from torch_geometric.nn import GCNConv"),
        ("core", "try:\n    import faiss\nexcept ImportError:\n    pass"),
        ("data", "class A:\n    import sklearn.datasets"),
    ],
)
def test_a_wrong_import_is_found(folder, source):
    assert len(import_problems(folder, source)) == 1


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("scores", "from secateur.scores.base import Score\nfrom secateur.core.mask import Mask\nimport torch"),
        ("extrapolation", "def f():\n    from torch_geometric.nn import GCNConv"),
        ("data", "class A:\n    def load(self):\n        import sklearn.datasets"),
        ("training", "import pytorch_lightning as pl"),
    ],
)
def test_a_right_import_is_not(folder, source):
    assert import_problems(folder, source) == []


def test_functions_are_short():
    found = {path.relative_to(SRC).as_posix(): length_problems(path.read_text()) for path in FILES}
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_a_long_function_is_found():
    long_function = "def f():\n" + "    x = 1\n" * MAX_FUNCTION
    assert length_problems(long_function) == ["f has 81 lines"]


def test_a_scorer_is_a_library_for_anybodys_arrays():
    code = "import sys, secateur.scores.tdds, secateur.core.mask; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "secateur.scores.tdds" in loaded
    assert loaded & {"pytorch_lightning", "hydra", "wandb", "omegaconf", "torchvision"} == set()
