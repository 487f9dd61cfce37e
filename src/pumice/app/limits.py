"""What a client may cost before it has said who it is: the settings of ``[http]``."""

from pydantic import BaseModel, ConfigDict, Field


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
