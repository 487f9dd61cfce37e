"""What ``POST /servers`` and ``PUT /servers/{id}`` may say, at every microversion."""

import base64
import binascii
import ipaddress
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pumice.api.absent import COMPUTE
from pumice.api.call import Call
from pumice.api.compute.block_devices import BlockDevice, LegacyDevice
from pumice.api.fields import Body, Boolean, Positive, ServerMetadata, ServerName, Tag, Text, Uuid
from pumice.model.errors import Invalid

LONGEST_USER_DATA = 65535
SINCE = {
    "description": (2, 19),
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
    "pinned_availability_zone": (2, 104),
}
"""The versions from which on a server's keys are known."""


def _flavor(value: Any) -> Any:
    """An id, also as a number or at the end of a link."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.rstrip("/").rpartition("/")[2] if isinstance(value, str) else value


def _image(value: Any) -> Any:
    return None if value == "" else value


def _address(value: str) -> str:
    ipaddress.ip_address(value)
    return value


def _v4(value: str) -> str:
    return str(ipaddress.IPv4Address(value)) if value else value


def _v6(value: str) -> str:
    """In its shortest form, as Nova keeps it."""
    return str(ipaddress.IPv6Address(value)) if value else value


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("It is not in base64") from None
    return value


Address = Annotated[str, Field(max_length=45), AfterValidator(_address)]
AddressV4 = Annotated[str, Field(max_length=45), AfterValidator(_v4)]
AddressV6 = Annotated[str, Field(max_length=45), AfterValidator(_v6)]


class Network(Body):
    """An item of ``networks``: a network that is named is refused, as there are none.

    ``auto``, which clients say by themselves, is whatever there is: none.
    """

    uuid: Text | None = None
    port: Uuid | None = None
    fixed_ip: Address | None = None
    tag: Tag | None = None


class SecurityGroup(Body):
    """An item of ``security_groups``."""

    name: ServerName


def _no(what: str, instead: str) -> str:
    return f"{what} not part of this version of Pumice: {instead}."


class ServerBody(Body):
    """The object ``server`` of a create request."""

    name: ServerName
    flavor: Annotated[str, BeforeValidator(_flavor), Field(min_length=1, max_length=255, alias="flavorRef")]
    image: Annotated[Uuid | None, BeforeValidator(_image)] = Field(None, alias="imageRef")
    devices: list[BlockDevice] = Field(default_factory=list, alias="block_device_mapping_v2", max_length=64)
    legacy_devices: list[LegacyDevice] = Field(
        default_factory=list, alias="block_device_mapping", max_length=64
    )
    networks: list[Network] | Literal["auto", "none"] | None = None
    metadata: ServerMetadata = Field(default_factory=dict)
    min_count: Positive = 1
    max_count: Positive | None = None
    return_reservation_id: Boolean = False
    availability_zone: ServerName | None = None
    key_name: ServerName | None = None
    admin_password: Annotated[str, Field(max_length=255)] | None = Field(None, alias="adminPass")
    user_data: Annotated[str, Field(max_length=LONGEST_USER_DATA), AfterValidator(_base64)] | None = None
    config_drive: Boolean | None = None
    security_groups: list[SecurityGroup] | None = None
    disk_config: Literal["AUTO", "MANUAL"] = Field("AUTO", alias="OS-DCF:diskConfig")
    access_ipv4: AddressV4 | None = Field(None, alias="accessIPv4")
    access_ipv6: AddressV6 | None = Field(None, alias="accessIPv6")
    personality: list[Any] | None = None
    description: Text | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=50)
    trusted_image_certificates: list[Text] | None = None
    host: Text | None = None
    hypervisor_hostname: Text | None = None
    hostname: Text | None = None

    @model_validator(mode="after")
    def _counts(self) -> "ServerBody":
        if self.min_count > 1 or (self.max_count or 1) > 1:
            raise ValueError("Servers are made one at a time: min_count and max_count are 1")
        return self

    def kept(self, hints: dict[str, Any]) -> dict[str, Any]:
        """What is only shown again, under its wire names."""
        return {**kept(self), "scheduler_hints": hints, PIN: self.availability_zone}

    def _refuse_what_is_not_done(self) -> None:
        """A wish that would be dropped is refused. Raises ``Invalid``."""
        groups = {group.name for group in self.security_groups or ()} - {"default"}
        for is_asked, sentence in (
            (self.networks and not isinstance(self.networks, str), COMPUTE["os-networks"]),
            (groups, COMPUTE["os-security-groups"]),
            (self.key_name, COMPUTE["os-keypairs"]),
            (self.user_data, _no("User data is", "put what the guest needs into its image or a volume")),
            (self.config_drive, _no("A configuration drive is", "attach a volume with what the guest needs")),
            (self.personality, _no("Injecting files is", "put them into the image or a volume")),
            (self.host or self.hypervisor_hostname, _no("Naming the host is", "name its availability zone")),
            (self.trusted_image_certificates, _no("Signatures of images are", "compare os_hash_value")),
        ):
            if is_asked:
                raise Invalid(sentence)

    def check(self, call: Call) -> None:
        """What depends on the version, and what is not done here. Raises ``Invalid``."""
        self.only_since(call.version, SINCE)
        self._refuse_what_is_not_done()
        if call.version >= (2, 57) and "personality" in self.model_fields_set:
            raise Invalid("Additional properties are not allowed ('personality' was unexpected).")
        if call.version >= (2, 37) and self.networks is None:
            raise Invalid("Invalid input: 'networks' is a required property: 'none', as there are none yet.")
        if call.version < (2, 37) and isinstance(self.networks, str):
            raise Invalid(f"Invalid input for field/attribute networks. '{self.networks}' is not an array.")


_CHOOSE_HOSTS = frozenset(
    {"build_near_host_ip", "cidr", "different_cell", "different_host", "query", "same_host", "target_cell"}
)


class CreateBody(Body):
    """A whole create request. Hints that nothing of Nova's would read are kept, as it keeps them."""

    server: ServerBody
    hints: dict[str, Any] = Field(default_factory=dict, alias="os:scheduler_hints")
    old_hints: dict[str, Any] = Field(default_factory=dict, alias="OS-SCH-HNT:scheduler_hints")

    def all_hints(self) -> dict[str, Any]:
        """The hints under both names. Raises ``Invalid`` for those that choose among hosts."""
        hints = {**self.old_hints, **self.hints}
        if "group" in hints:
            raise Invalid(COMPUTE["os-server-groups"])
        if choosing := sorted(name for name in _CHOOSE_HOSTS & hints.keys() if hints[name]):
            raise Invalid(_no(f"The hint {choosing[0]} is", "name an availability zone"))
        return hints


PIN = "pinned_availability_zone"
"""The zone that was asked for, under its wire name. It is only shown again: a server stays where it is."""


class UpdateBody(Body):
    """The object ``server`` of an update."""

    name: ServerName | None = None
    description: Text | None = None
    disk_config: Literal["AUTO", "MANUAL"] | None = Field(None, alias="OS-DCF:diskConfig")
    access_ipv4: AddressV4 | None = Field(None, alias="accessIPv4")
    access_ipv6: AddressV6 | None = Field(None, alias="accessIPv6")
    hostname: Text | None = None
    pinned_availability_zone: ServerName | None = None

    @model_validator(mode="after")
    def _has_a_name(self) -> "UpdateBody":
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("A server has a name: it cannot be null")
        return self


def kept(body: ServerBody | UpdateBody) -> dict[str, Any]:
    """What was said that is only shown again, under its wire names."""
    said = {
        "accessIPv4": body.access_ipv4,
        "accessIPv6": body.access_ipv6,
        "hostname": body.hostname,
        "OS-DCF:diskConfig": body.disk_config,
    }
    return {name: value for name, value in said.items() if value is not None}
