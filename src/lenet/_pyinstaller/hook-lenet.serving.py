"""What an application that serves takes along: the page."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("lenet.serving")
