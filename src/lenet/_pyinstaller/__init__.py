"""Hooks for PyInstaller, which finds them through the entry point in pyproject.toml."""


def hook_dirs() -> list[str]:
    """Return the folders that contain the hooks."""
    return list(__path__)
