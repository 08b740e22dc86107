"""Which code is it: hashes of the package's own files and of the user's modules."""

import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from secateur.core.errors import ConfigError
from secateur.core.hashing import file_sha256

PACKAGE = Path(__file__).resolve().parents[1]


def package_sha256(package: Path = PACKAGE) -> str:
    """Return the sha256 over the names and bytes of a package's Python files."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def user_modules(folders: Iterable[Path]) -> dict[str, str]:
    """Return ``{path: sha256}`` of the modules that were imported from some folders.

    Left out are this package, what is installed, and the program that was started.
    """
    inside = [folder.resolve() for folder in folders]
    outside = [PACKAGE, *(Path(path).resolve() for path in _installed())]
    files = {Path(module.__file__).resolve() for module in list(sys.modules.values()) if _has_source(module)}  # type: ignore[arg-type]
    return {
        str(path): file_sha256(path)
        for path in sorted(files)
        if any(path.is_relative_to(folder) for folder in inside)
        and not any(path.is_relative_to(folder) for folder in outside)
    }


def current(recorded: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes that the files of a record have now; ``missing`` for a file that is gone."""
    return {path: file_sha256(Path(path)) if Path(path).is_file() else "missing" for path in recorded}


def check_code(code: str, user_code: Mapping[str, str], sweep: Path) -> None:
    """Check that the code is the one that a sweep was launched with.

    Args:
        code: what :func:`package_sha256` gave then.
        user_code: what :func:`user_modules` gave then.
        sweep: the sweep's folder, for the advice.

    Raises:
        ConfigError: it is not; says what changed, both hashes, and what to do.
    """
    found = current(user_code)
    changed = [("secateur's code", code, package_sha256()), *((path, user_code[path], found[path]) for path in found)]
    for what, before, after in changed:
        if before != after:
            raise ConfigError(
                f"{what} is not what this sweep was launched with (sha256 {before[:12]} then, {after[:12]} now): go "
                f"back to it, or take the new one for all jobs that are left: secateur sweep resume {sweep} "
                "--accept-code"
            )


def _installed() -> set[str]:
    return {*site.getsitepackages(), site.getusersitepackages(), *sysconfig.get_paths().values()}


def _has_source(module: object) -> bool:
    """Whether a module is a file of Python code; some libraries invent names of files for what has none."""
    path = Path(str(getattr(module, "__file__", None) or ""))
    return getattr(module, "__name__", "__main__") != "__main__" and path.suffix == ".py" and path.is_absolute()
