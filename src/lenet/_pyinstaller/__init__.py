"""Hooks for PyInstaller, which finds them through the entry point in pyproject.toml."""

from pathlib import Path


def hook_dirs() -> list[str]:
    """Return the folders that contain the hooks."""
    return [str(Path(__file__).parent)]
