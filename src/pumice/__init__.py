"""Pumice: block storage for virtual machines that never gets stuck."""

__version__ = "0.1.0"
