"""What stands in the files of a model's folder, each file on its own. Nothing here needs MLX.

config             config.json, and generation_config.json
rope               how it says that positions are turned
context            how many tokens it says the model was made for
head_kind          which head it holds, if it holds one
sampling_defaults  how its makers say that tokens are drawn
tensors            the heads of .safetensors files
shards             which of them there must be
"""
