"""Add the lazy imports, the imports of compiled modules and the weights, which PyInstaller cannot detect."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

# These require extras. Lazy imports of lenet do not include them; a program that imports them does.
EXTRAS = [f"lenet.{room}" for room in ("cli", "estimator", "interop", "plots", "reading", "scale", "serving")]
OTHERS = (*EXTRAS, "lenet._pyinstaller", "lenet.__main__")

datas = collect_data_files("lenet.weights")
hiddenimports = collect_submodules("lenet", filter=lambda name: not name.startswith(OTHERS))
excludedimports = EXTRAS
