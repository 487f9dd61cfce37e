"""The words everything else is written in: ids, units, values, states, errors.

Imports nothing else of Pumice.
"""
