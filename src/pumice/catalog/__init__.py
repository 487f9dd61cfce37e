"""The catalog: volume types, flavors, quotas."""
