"""Groups of volumes: made, changed and deleted as one."""
