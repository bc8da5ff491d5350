"""What a run takes of the memory of its devices, stated before anything is allocated."""
