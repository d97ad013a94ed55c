"""Run directories: their files, lock, manifest, checkpoints, digests, versions and admission."""
