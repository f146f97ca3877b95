"""What imports what: the layers, the subpackages' front doors, and a light `import interpolants`."""

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from benchmarks import structure

from interpolants.foundations.rings import RINGS
from source_trees import MODULES, SOURCE, module_name, nodes_of, tree_of

ROOT = Path(__file__).parents[1]

# Heavy or optional: none of them may come along with `import interpolants`.
NOT_AT_IMPORT = {
    "matplotlib",
    "sklearn",
    "skimage",
    "scipy",
    "pandas",
    "ot",
    "h5py",
    "plotnine",
    "rdata",
    "xarray",
}


def run_python(code, source=SOURCE.parent):
    """Run code in a fresh interpreter that finds the package in `source`."""
    environment = os.environ | {"PYTHONPATH": str(source)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, cwd=ROOT
    )


def lint_imports(source=SOURCE.parent):
    arguments = ["--no-cache", str(ROOT / "pyproject.toml")]
    return run_python(f"from importlinter.cli import lint_imports_command as c; c({arguments!r})", source)


def copy_of_the_package(folder):
    shutil.copytree(SOURCE, folder / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / SOURCE.name


@cache
def imports_of(path):
    """(line, module, name) of every import in a file, at any depth; name is None for ``import module``."""
    found = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [(node.lineno, module, alias.name) for alias in node.names]
    return found


@pytest.mark.slow  # `make check` asks the same
def test_imports_point_down():
    result = lint_imports()
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("foundations/wrong.py", "import interpolants.problems", "foundations is not allowed to import"),
        ("paths/wrong.py", "import interpolants.solvers", "paths is not allowed to import"),
        ("homeless/__init__.py", "", "not listed as layers"),
    ],
    ids=["up", "sibling", "without a layer"],
)
def test_the_contract_can_fail(tmp_path, path, text, complaint):
    wrong = copy_of_the_package(tmp_path) / path
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text(text)
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert complaint in " ".join(result.stdout.split())


def test_nothing_in_the_package_imports_what_lies_beside_it():
    beside = {"tests", "benchmarks", "studies", "recipes", "docs", "conftest", "pytest"}
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {module}"
        for path in MODULES
        for line, module, _ in imports_of(path)
        if module.partition(".")[0] in beside
    ]
    assert not wrong


def test_modules_are_imported_from_where_they_live_and_not_through_a_front_door():
    """``from interpolants.paths import Linear`` inside the package would run all of paths for one name."""
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} takes {name} from {module}"
        for path in MODULES
        if path != SOURCE / "__init__.py"
        for line, module, name in imports_of(path)
        if _is_a_front_door(module) and not _is_harmless(module, name)
    ]
    assert not wrong


def test_imports_inside_the_package_are_absolute():
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in MODULES
        for line, module, _ in imports_of(path)
        if module.startswith(".")
    ]
    assert not wrong


def test_importing_the_package_brings_nothing_optional():
    result = run_python("import json, sys; import interpolants; print(json.dumps(sorted(sys.modules)))")
    assert result.returncode == 0, result.stderr
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert "interpolants" in loaded
    assert not loaded & NOT_AT_IMPORT


def test_importing_the_package_prints_nothing_and_warns_of_nothing():
    result = run_python("import warnings; warnings.simplefilter('error'); import interpolants")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_core_works_without_the_rings(tmp_path):
    copy = copy_of_the_package(tmp_path)
    for ring in RINGS:
        shutil.rmtree(copy / ring, ignore_errors=True)
    result = run_python(
        "import interpolants, sys\n"
        "from interpolants.foundations.cards import load_cards\n"
        f"assert interpolants.__file__.startswith({str(tmp_path)!r}), interpolants.__file__\n"
        "for card in load_cards():\n"
        "    card.load_entry()\n"
        "    assert card.ring == 'core', card\n",
        source=tmp_path,
    )
    assert result.returncode == 0, result.stderr


def test_the_list_of_methods_works_without_the_rings(tmp_path):
    if not (SOURCE / "cli" / "app.py").exists():
        pytest.skip("the command line is not written yet")
    copy = copy_of_the_package(tmp_path)
    for ring in RINGS:
        shutil.rmtree(copy / ring, ignore_errors=True)
    result = run_python(
        "import sys; sys.argv = ['interpolants', 'methods']; from interpolants.cli.app import main; main()",
        source=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


# Public by their documentation, or the only door to what they do.
FOREIGN_PRIVATE = {
    "torch._standard_gamma",  # takes a generator, which torch.distributions.Gamma does not
    "torch._foreach_norm",
    "torch._foreach_mul_",
    "torch._foreach_lerp_",
    "torch._foreach_copy_",
    "torch._fused_adam_",  # torch.optim.Adam(fused=True) is this kernel, and bookkeeping that costs as much
    "torch._fused_adamw_",
    "os._exit",
    "sys._getframe",  # the line that a warning is about
    "module._apply",  # to_empty and to go through it
    "module._compiled_call_impl",  # whether a module was compiled
    "b._version",  # whether a buffer was changed in place
    "p._version",  # the same of a parameter
}
NAMED_TUPLES = {"_make", "_replace", "_asdict", "_fields"}


def private_names_from_elsewhere(name, nodes):
    """``x._y`` where the module itself defines no ``_y``, and private names that it imports."""
    own = _own_private(nodes)
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            yield from (f"{name}:{node.lineno} imports {a.name}" for a in node.names if _is_private(a.name))
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and node.attr not in own:
            shown = ast.unparse(node)
            if not (_is_own_object(node.value) or shown in FOREIGN_PRIVATE or node.attr in NAMED_TUPLES):
                yield f"{name}:{node.lineno} uses {shown}"


def _is_private(name):
    return name.startswith("_") and not name.startswith("__")


def _is_own_object(node):
    calls_super = isinstance(node, ast.Call) and ast.unparse(node.func) == "super"
    return calls_super or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def _own_private(nodes):
    """Private names of functions, classes, fields and attributes that a module defines."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own_object(node.value)
        ):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def test_private_names_stay_in_their_module():
    wrong = [
        found for path in MODULES for found in private_names_from_elsewhere(module_name(path), nodes_of(path))
    ]
    assert not wrong


def test_private_names_of_others_are_seen():
    code = "from m import _a\nclass B:\n    def f(self, x):\n        self._c = x._d + x._c + super()._e\n"
    assert [*private_names_from_elsewhere("m", [*ast.walk(ast.parse(code))])] == [
        "m:1 imports _a",
        "m:4 uses x._d",
    ]


def imported_modules(tree, known):
    """Modules of the package that a file imports, in functions too, but not for type checkers alone."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from (name for name in (full if full in known else node.module,) if name in known)


def _running(node):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _running(child)


def import_cycles(graph):
    """Modules that import each other in a circle: those that depth-first search meets again on its way."""
    done, cycles = set(), []

    def visit(module, way):
        if module in way:
            cycles.append([*way[way.index(module) :], module])
        elif module not in done:
            for other in graph.get(module, ()):
                visit(other, [*way, module])
            done.add(module)

    for module in graph:
        visit(module, [])
    return cycles


def test_no_modules_import_each_other_in_a_circle_not_even_inside_functions():
    trees = {module_name(path): tree_of(path) for path in MODULES}
    assert not import_cycles({name: set(imported_modules(tree, trees)) for name, tree in trees.items()})
    assert import_cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]


# Seeds that go straight into torch: what a seed means there is part of a definition, not a use of a run's seed.
OWN_SEEDS = {
    "interpolants.foundations.randomness",
    "interpolants.training.aggregates",  # step_seed names its stream
    "interpolants.training.step",
    "interpolants.framework.code_probes",  # code of a user, which may draw from the global generator
    "interpolants.framework.stages",  # PyTorch's own generator, from a stage's
    "interpolants.data.arrays",
    "interpolants.problems.gauge",
    "interpolants.problems.manifolds",
    "interpolants.paths.separation",  # beside a Sobol sequence, which takes a seed alone
    "interpolants.foundations.invariance",  # states that a test asks about
    "interpolants.couplings.data_dependent",  # a draw of which only the shape counts
    "interpolants.metrics.label_classifier",
    "interpolants.testing.method_laws",  # the global generator, which an answer must not read
}


def test_generators_come_from_named_streams():
    wrong = [
        f"{module_name(path)}:{node.lineno}"
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and node.attr == "manual_seed"
        if module_name(path) not in OWN_SEEDS
    ]
    assert not wrong


def _is_a_front_door(module):
    """Whether the module is the root or a subpackage, whose ``__init__`` re-exports what others define."""
    return module.partition(".")[0] == SOURCE.name and (SOURCE.parent / module.replace(".", "/")).is_dir()


def _is_harmless(module, name):
    """The root runs anyway and may be asked for its version; from a subpackage, modules may be taken."""
    if module == SOURCE.name and name in (None, "__version__"):
        return True
    if name is None:
        return False
    path = SOURCE.parent / module.replace(".", "/") / name
    return path.with_suffix(".py").exists() or path.is_dir()


def test_no_circle_hides_under_type_checking():
    """What needs the type of another is a part of it, or lies above it."""
    assert structure.circles(structure.modules(SOURCE)) == []
