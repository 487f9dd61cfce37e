"""The guided tour: the four stories Pumice exists for, on real parts, told while they happen."""
