"""Verbs on webhooks."""
