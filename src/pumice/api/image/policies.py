"""The rules of the Image API and their defaults, under the names that operators' policy files use.

A route asks its rule for the caller's own project: may somebody with these roles do this at all? Handlers that
change an image ask again for the image's owner, once they have read it.
"""

from pumice.api.policy import ADMIN, ANYBODY, MEMBER, READER

DEFAULTS = {
    "add_image": MEMBER,
    "get_image": READER,
    "get_images": READER,
    "modify_image": MEMBER,
    "delete_image": MEMBER,
    "publicize_image": ADMIN,
    "communitize_image": MEMBER,
    "upload_image": MEMBER,
    "download_image": MEMBER,
    "deactivate": MEMBER,
    "reactivate": MEMBER,
    "add_member": MEMBER,
    "get_member": READER,
    "get_members": READER,
    "modify_member": MEMBER,
    "delete_member": MEMBER,
    "get_schemas": ANYBODY,
    "get_import_info": ANYBODY,
}
