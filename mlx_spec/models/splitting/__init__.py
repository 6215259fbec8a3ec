"""One target over several machines: which families can be divided how, and loading a rank's part of one."""
