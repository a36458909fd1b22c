"""Datasets: raw files fetched and verified, prepared as tensors, normalised and augmented."""
