"""firstorder: four studies of first-order approximations, rebuilt from raw data to paper."""

__version__ = "0.1.0"
