"""What is on offer: volume types, flavors, quotas."""
