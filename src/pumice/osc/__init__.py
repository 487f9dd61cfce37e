"""A plug-in of the ``openstack`` command (python-openstackclient): what Pumice's own API tells.

It speaks to the API alone, and imports nothing else of Pumice.
"""
