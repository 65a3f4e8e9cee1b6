"""Imports run one way: builders <- curation <- training <- cotmill; and the base needs no engine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cotmill

ROOT = Path(__file__).parent.parent
ORDER = ["builders", "curation", "training", "cotmill"]


def imported_packages(path: Path) -> set[str]:
    """Top-level packages of ours that a module imports anywhere, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names & set(ORDER)


@pytest.mark.parametrize("package", ORDER)
def test_imports_never_go_up(package):
    higher = set(ORDER[ORDER.index(package) + 1 :])
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / package).rglob("*.py")
        if (found := imported_packages(path) & higher)
    }
    assert wrong == {}


def test_there_is_something_to_look_at():
    assert "builders" in imported_packages(ROOT / "cotmill" / "sampling.py")


@pytest.mark.parametrize(
    "code", ["import cotmill, builders, curation", "import cotmill.recipe, curation.packaging.dataset"]
)
def test_the_base_pulls_in_no_engine(code):
    heavy = "{'torch', 'vllm', 'trl', 'transformers', 'ray', 'peft', 'reasoning_gym'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_everything_the_package_promises_exists():
    import cotmill

    assert all(getattr(cotmill, name) is not None for name in cotmill.__all__)


def test_a_misspelt_name_lists_the_right_ones():
    import cotmill

    with pytest.raises(AttributeError, match=r"no attribute 'smaple'; it has .*sample"):
        cotmill.smaple  # noqa: B018


def test_no_module_hides_a_public_name():
    """Importing `cotmill.x` binds the module to the name x of the package, whatever that name gave before."""
    modules = {path.stem for path in Path(cotmill.__file__).parent.glob("*.py")}
    assert modules & set(cotmill.__all__) == set()


@pytest.mark.parametrize("package", ORDER)
def test_a_package_says_that_it_is_typed(package):
    assert (ROOT / package / "py.typed").is_file()
