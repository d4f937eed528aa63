"""The wheel holds every file of the package, cli/, converters/ and models/ inside onnxprune."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINKED = ("cli", "converters", "models")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = ("onnxprune", *LINKED, "pyproject.toml", "README.md", "LICENSE")


def files_of_the_package() -> set[str]:
    """Paths below the root, as onnxprune/cli/main.py; caches left out."""
    found = set()
    for folder, _, names in os.walk(ROOT / "onnxprune", followlinks=True):
        found |= {(Path(folder) / name).relative_to(ROOT).as_posix() for name in names}
    return {name for name in found if "__pycache__" not in name}


def build(source: Path, out: Path, what: str) -> Path:
    """Call setuptools without isolation (no network): `what` is "wheel" or "sdist"."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; build_meta.build_{what}({str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (built,) = out.iterdir()
    return built


def names_in_wheel(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def source_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build in: setuptools leaves build/ and egg-info behind, and would read stale ones."""
    copy = tmp_path_factory.mktemp("source")
    no_caches = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=no_caches)
        else:
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source_copy, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.mark.parametrize("name", LINKED)
def test_the_links_are_relative_and_lead_to_the_top_level_folders(name: str) -> None:
    link = ROOT / "onnxprune" / name
    assert link.is_symlink()
    assert link.readlink().as_posix() == f"../{name}"
    assert (link / "__init__.py").is_file()


def test_pyproject_lists_every_package() -> None:
    folders = {Path(name).parent.as_posix() for name in files_of_the_package() if name.endswith(".py")}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == {name.replace("/", ".") for name in folders}


def test_every_package_says_what_it_is() -> None:
    folders = {Path(name).parent for name in files_of_the_package() if name.endswith(".py")}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()] == []


def test_the_wheel_holds_exactly_the_files_of_the_package(wheel: Path) -> None:
    assert names_in_wheel(wheel) == files_of_the_package()


def test_the_wheel_installs_no_generic_top_level_name(wheel: Path) -> None:
    assert {name.split("/")[0] for name in names_in_wheel(wheel)} == {"onnxprune"}


def test_the_wheel_carries_types_licence_and_console_script(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
    assert "onnxprune/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "onnxprune = onnxprune.__main__:main" in archive.read(entry_points).decode()


def test_a_wheel_from_the_source_distribution_is_the_same(
    source_copy: Path, wheel: Path, tmp_path: Path
) -> None:
    sdist = build(source_copy, tmp_path / "sdist", "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build(unpacked, tmp_path / "wheel", "wheel")
    assert names_in_wheel(again) == names_in_wheel(wheel)
    assert again.name == wheel.name


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import onnxprune, onnxprune.cli, onnxprune.models; print(onnxprune.cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(tmp_path / "onnxprune" / "cli" / "__init__.py"), done.stderr


def test_exactly_one_onnxruntime_is_asked_for_on_every_machine() -> None:
    packaging = pytest.importorskip("packaging.requirements")
    wanted = [packaging.Requirement(row) for row in PYPROJECT["project"]["dependencies"]]
    machines = [
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("win32", "AMD64"),
        ("win32", "ARM64"),
        ("darwin", "arm64"),
    ]
    for system, machine in machines:
        here = {"sys_platform": system, "platform_machine": machine}
        chosen = [r.name for r in wanted if r.name.startswith("onnxruntime") and r.marker.evaluate(here)]
        assert len(chosen) == 1, (system, machine, chosen)


def test_the_tested_versions_satisfy_the_stated_bounds() -> None:
    packaging = pytest.importorskip("packaging.requirements")
    pins = dict(
        row.split("==") for row in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if "==" in row
    )
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    rows = [*PYPROJECT["project"]["dependencies"], *(row for extra in extras for row in extra)]
    for requirement in map(packaging.Requirement, rows):
        if requirement.name != "pip":
            assert requirement.specifier.contains(pins[requirement.name]), str(requirement)
