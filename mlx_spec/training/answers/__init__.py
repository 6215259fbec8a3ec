"""What is trained on: the target's own answers, sampled, kept on disk, and its states beside them."""
