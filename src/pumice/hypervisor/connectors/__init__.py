"""How a host reaches the volumes of its servers: through QEMU, or through its own kernel."""
