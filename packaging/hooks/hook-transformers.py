"""transformers in a frozen program, for tokenizers alone. It takes the place of PyInstaller's own hook.

At import it lists the .py files of its folders, so they lie there beside the compiled modules; and it asks the metadata
of what it needs for their versions. What is not collected, see lookahead.spec, is then not listed either.
"""

from PyInstaller.utils.hooks import copy_metadata

NEEDED = (
    "filelock", "huggingface-hub", "numpy", "packaging", "pyyaml", "regex", "safetensors", "sentencepiece",
    "tokenizers", "tqdm", "typer",
)  # fmt: skip
datas = [entry for name in NEEDED for entry in copy_metadata(name)]
module_collection_mode = "pyz+py"
hiddenimports = ["transformers.models.auto.tokenization_auto", "transformers.models.auto.configuration_auto"]
