"""zeroconf is compiled, so nobody sees what its parts import of each other. It is under the LGPL: its modules lie
beside the program as files, and may be replaced there."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("zeroconf")
module_collection_mode = "py"
