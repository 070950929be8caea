"""Add the lazy imports, the imports of compiled modules and the data files, which PyInstaller cannot detect."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

# These require extras. Lazy imports of lenet do not include them; a program that imports them does.
EXTRAS = [f"lenet.{package}" for package in ("cli", "estimator", "interop", "plots", "reading", "scale", "serving")]


def is_core(name: str) -> bool:
    """Return whether a module requires only numpy and safetensors."""
    return not name.startswith((*EXTRAS, "lenet._pyinstaller", "lenet.__main__"))


datas = collect_data_files("lenet")  # the weights, the templates of the C export, the page of the server
hiddenimports = collect_submodules("lenet", filter=is_core)
excludedimports = EXTRAS
