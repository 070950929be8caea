"""What an application with lenet takes along that PyInstaller does not see: imports of names, and of C."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

# These want extras. They come with what a program imports by name: lenet names them too, but for type checkers.
EXTRAS = [f"lenet.{room}" for room in ("cli", "estimator", "interop", "plots", "reading", "scale", "serving")]


def is_core(name: str) -> bool:
    """Tell whether a module does with numpy and safetensors."""
    return not name.startswith((*EXTRAS, "lenet.plots.style", "lenet._pyinstaller", "lenet.__main__"))


datas = collect_data_files("lenet", subdir="weights/pretrained")
hiddenimports = collect_submodules("lenet", filter=is_core)
excludedimports = EXTRAS
