"""How hosts reach the bytes: iSCSI and its like."""
