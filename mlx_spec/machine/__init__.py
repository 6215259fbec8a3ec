"""What this computer is and gives: folders and kept files, its BLAS, other processes, signals, kernels for its GPU."""
