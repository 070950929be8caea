"""What PyInstaller has to know of lenet: it finds this folder by itself, through the entry point in pyproject.toml."""

from pathlib import Path


def hook_dirs() -> list[str]:
    """Return the folder of the hooks."""
    return [str(Path(__file__).parent)]
