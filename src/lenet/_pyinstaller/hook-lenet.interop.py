"""Add the templates of the C export."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("lenet.interop")
