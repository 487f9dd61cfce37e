"""Hypervisors, which run virtual machines, and connectors, which connect their hosts to storage."""
