"""What a client may cost before it has said who it is, and who may speak for it: the settings of ``[http]``."""

from ipaddress import ip_address, ip_network

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Http(BaseModel):
    """How much of a connection, a request's head and time a client may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: int = Field(
        800, ge=1, description="Connections at once. When there are more, the one that idles longest is closed."
    )
    url_bytes: int = Field(16_384, ge=256, description="Length of a request's URL.")
    head_bytes: int = Field(
        32_768, ge=1024, description="Length of a request's line and headers together, and of its trailers."
    )
    headers: int = Field(100, ge=10, description="Number of a request's headers and trailers.")
    pipelined: int = Field(16, ge=1, description="Requests that a connection may send ahead of the answers.")
    head_seconds: float = Field(
        10.0, gt=0, description="How long a connection may take until its next request's head is complete."
    )
    stall_seconds: float = Field(
        30.0, gt=0, description="How long a body, or the client's taking of an answer, may stand still."
    )
    slowest_body: int = Field(
        1024, ge=0, description="Bytes in a second that a body must bring on average over 'stall_seconds'."
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description="Addresses and networks whose X-Forwarded-Host and -Proto are believed: ['10.0.0.0/24'].",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: list[str]) -> list[str]:
        for one in value:
            ip_network(one)
        return value

    def trusts(self, address: str) -> bool:
        """Whether the headers of a proxy at this address are believed."""
        try:
            peer = ip_address(address)
        except ValueError:
            return False
        return any(peer in ip_network(one) for one in self.trusted_proxies)


class ImageCache(BaseModel):
    """Bases of images, which pools keep to clone volumes of: the settings of ``[image_cache]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        True,
        description="Keep a base of each image in the pools where volumes begin with it, and clone those of "
        "it, where that is quicker than to convert the image again.",
        json_schema_extra={"live": True},
    )
    max_gigabytes: int = Field(
        200,
        ge=0,
        description="The most GiB of bases in one pool; what was used least recently goes.",
        json_schema_extra={"live": True},
    )
    max_images: int = Field(
        50, ge=0, description="The most bases in one pool.", json_schema_extra={"live": True}
    )
