"""Files on disk: atomic writes and locks, `.npy` in, and the manifest of every folder that vicinal saves."""
