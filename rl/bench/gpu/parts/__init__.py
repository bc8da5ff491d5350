"""The parts of the GPU run, one file each; `measure` yields its figures."""
