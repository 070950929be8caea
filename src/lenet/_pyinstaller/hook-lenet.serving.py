"""Add the page of the server."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("lenet.serving")
