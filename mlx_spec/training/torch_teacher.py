"""The teacher's likeliest tokens, found with PyTorch bfloat16. Imported only for `--trainer torch`."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mlx_spec.training.teacher import TOP, FindLikeliest, Likeliest

BLOCK = 96
"""A row's k greatest logits lie in the k blocks with the greatest maxima: far less to sort than a whole vocabulary."""


def torch_likeliest(embedding: Tensor) -> FindLikeliest:
    """As `teacher.mlx_likeliest`, for an embedding `[vocab, hidden]` in bfloat16."""

    def find(bits: NDArray[np.uint16]) -> Likeliest:
        # No gradient is asked for: the embedding is a constant.
        logits = F.linear(torch.from_numpy(bits.view(np.int16)).view(torch.bfloat16), embedding).float()
        total = logits.logsumexp(-1, keepdim=True)
        count = min(TOP, logits.shape[-1] - 1)
        blocks = F.pad(logits, (0, -logits.shape[-1] % BLOCK), value=-torch.inf).unflatten(-1, (-1, BLOCK))
        _, best = blocks.amax(-1).topk(min(count, blocks.shape[1]), -1)
        candidates = blocks.gather(1, best[:, :, None].expand(-1, -1, BLOCK)).flatten(1)
        values, places = candidates.topk(count, -1)
        ids = best.gather(1, places // BLOCK) * BLOCK + places % BLOCK
        return ids.numpy().astype(np.uint32), (values - total).exp().numpy()

    return find
