// Products are rounded before they are added to, as in MLX's operations: an `fma` is one where it is written, and no
// compiler makes others, in one text of a kernel and not in another.
#pragma METAL fp contract(off)
