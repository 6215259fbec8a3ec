"""MLX in a frozen program: PyInstaller has no hook for it.

`mlx.core` is an extension, so what it imports cannot be seen: without the first two modules it fails with "Encountered
an error while initializing the extension". Its library finds `mlx.metallib` beside itself, so all of `mlx/lib` is taken
as it lies; lookahead.spec sees to it that no second `libmlx` comes to lie elsewhere.
"""

from PyInstaller.utils.hooks import collect_data_files, collect_dynamic_libs, collect_submodules, copy_metadata

hiddenimports = [
    "mlx._reprlib_fix",
    "mlx.__array_api_info",
    "mlx.optimizers",
    "mlx.utils",
    *collect_submodules("mlx.nn"),
]
datas = collect_data_files("mlx", includes=["lib/**"]) + copy_metadata("mlx")
binaries = collect_dynamic_libs("mlx")
