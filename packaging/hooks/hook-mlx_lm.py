"""mlx-lm in a frozen program: models, tool parsers and chat templates are found by names in a model's files."""

from PyInstaller.utils.hooks import collect_submodules, copy_metadata

hiddenimports = [
    name
    for package in ("mlx_lm.models", "mlx_lm.tool_parsers", "mlx_lm.chat_templates")
    for name in collect_submodules(package)
]
datas = copy_metadata("mlx-lm")
