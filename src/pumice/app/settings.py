"""Settings: flags over environment over ``pumice.toml`` over defaults.

The file is looked for where ``--config`` or ``PUMICE_CONFIG`` says, else in ``./pumice.toml`` and
``/etc/pumice/pumice.toml``. Environment variables are named ``PUMICE_`` with ``__`` between a section and a
name: ``PUMICE_API__PORT=8776``. ``pumice settings`` prints every setting with its meaning and its value.

What is marked ``LIVE`` may change while a process runs: SIGHUP reads the settings again (``reload.py``).
"""

import os
import socket
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    IPvAnyNetwork,
    JsonValue,
    PrivateAttr,
    Tag,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pumice.app.limits import Http, ImageCache
from pumice.app.settings_names import wrong_name, wrong_of_driver, wrong_resources, wrong_variables
from pumice.backends.backups.settings import BackupSettings
from pumice.backends.files_settings import FilesSettings
from pumice.backends.registry import BACKENDS
from pumice.backends.settings import BackendSettings
from pumice.backends.targets.lio_settings import LioSettings
from pumice.backends.targets.nvmet_settings import NvmetSettings
from pumice.backends.targets.registry import TARGETS
from pumice.backends.targets.settings import TargetSettings
from pumice.backends.targets.shared_settings import SharedSettings
from pumice.backends.targets.tgt_settings import TgtSettings
from pumice.host.broker import Broker
from pumice.host.outbound import Outbound
from pumice.host.paths import GivenPath
from pumice.images.settings import Images
from pumice.model.errors import Misconfigured
from pumice.model.place_name import PlaceName
from pumice.model.recycling import MOST_DAYS
from pumice.model.tunables import DEFAULT_FILTERS, TYPED, RetryPolicy, Tunables
from pumice.scheduler.filters import ALWAYS, FILTERS
from pumice.scheduler.weighers import HANDLERS, WEIGHERS

LIVE: dict[str, JsonValue] = {"live": True}
"""Marks what SIGHUP changes; the rest needs a restart."""
_DEFAULT_QUOTAS = dict(Tunables().quotas)


class Role(StrEnum):
    """The roles of a process."""

    API = "api"
    SCHEDULER = "scheduler"
    VOLUME = "volume"
    COMPUTE = "compute"


class Section(BaseModel):
    """A section knows its settings; an unknown name is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class Api(Section):
    """How the API is served."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8776, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str | None = Field(
        None, description="How clients reach it, if not as they address it: https://cloud.example."
    )
    certificate: GivenPath | None = Field(
        None, description="Serve TLS with this chain of certificates (PEM); SIGHUP reads it again."
    )
    key: GivenPath | None = Field(
        None, description="The certificate's key (PEM), if it is not in the same file."
    )
    cacert: GivenPath | None = Field(
        None, description="An authority of your own that clouds.yaml tells clients to trust (PEM)."
    )
    max_limit: int = Field(1000, ge=1, description="The longest page of a list.", json_schema_extra=LIVE)
    max_query_terms: int = Field(
        64, ge=8, description="Most filters, sort keys and tags in one query.", json_schema_extra=LIVE
    )
    max_metadata: int = Field(
        262_144,
        ge=65_792,
        description="Most characters of one volume's or snapshot's metadata, and of what it has of its image.",
        json_schema_extra=LIVE,
    )
    wait_seconds: float = Field(
        60.0,
        description="How long a request waits for an operation it must answer for.",
        json_schema_extra=LIVE,
    )
    longest_wait: float = Field(
        60.0,
        ge=0,
        description="How long a request waits at most for a thing to change, when its client asks for that "
        "(Prefer: wait=30); 0 is never. Let no proxy give up sooner.",
        json_schema_extra=LIVE,
    )
    most_waiting: int = Field(
        500,
        ge=0,
        description="Requests of one process that may wait so; beyond, they are answered at once. Each is one "
        "of the connections of [http].",
        json_schema_extra=LIVE,
    )
    project_waiting: int = Field(
        200, ge=0, description="Those of one project among them.", json_schema_extra=LIVE
    )


class Identity(Section):
    """Settings of users and tokens."""

    most_logins: int = Field(
        64,
        ge=4,
        description="Passwords that a process checks at once; whoever comes then is told 429.",
    )
    lockout_failure_attempts: int | None = Field(
        None, ge=1, description="Wrong passwords in a row that lock a user out for a while; default: never."
    )
    lockout_duration: float = Field(1800.0, gt=0, description="Seconds that a user is locked out.")
    token_hours: float = Field(24.0, gt=0, description="How long a token is valid.")
    catalog_aliases: dict[str, str] = Field(
        {},
        description="Types under which the catalog names services once more, for clients that look for those: "
        '{ volumev2 = "volumev3" }.',
        json_schema_extra=LIVE,
    )
    admin_password: str | None = Field(None, description="Set at the first start; generated when not given.")
    demo_password: str | None = Field(None, description="Set at the first start; generated when not given.")
    service_password: str | None = Field(None, description="Set at the first start; generated when not given.")
    service_token_roles: list[str] = Field(
        ["service"],
        min_length=1,
        description="A service token (X-Service-Token) must have one of these roles; without one no volume is "
        "taken from the server that uses it.",
        json_schema_extra=LIVE,
    )


def _driver(chosen: object) -> str:
    """The driver that ``[backends.NAME]`` names, ``files`` where it names none."""
    if isinstance(chosen, BackendSettings):
        return chosen.driver
    return str(chosen.get("driver", "files")) if isinstance(chosen, dict) else ""


def _one_backend() -> dict[str, BackendSettings]:
    return {"files": FilesSettings()}


if TYPE_CHECKING:
    AnyBackend = BackendSettings
else:
    AnyBackend = Annotated[
        Union[tuple(Annotated[schema, Tag(driver)] for driver, schema in BACKENDS.every.items())],  # noqa: UP007
        Discriminator(_driver),
    ]
"""The settings of one backend: which there are, its driver says."""

Targets = create_model(
    "Targets",
    __base__=Section,
    __doc__="Target drivers that packages bring: ``[targets.NAME]``.",
    **{name: (schema, Field(default_factory=schema)) for name, schema in TARGETS.brought.items()},  # type: ignore[call-overload]
)


class Compute(Section):
    """Settings of servers and their hypervisor."""

    driver: Literal["libvirt", "fake", "none"] = Field("libvirt", description="The hypervisor.")
    libvirt_uri: str | None = Field(None, description="libvirt's URI; default: a libvirtd of our own.")
    connector: Literal["qemu", "kernel"] = Field(
        "qemu", description="Who logs in to targets: QEMU itself, or this host's kernel, through os-brick."
    )
    multipath: bool = Field(False, description="kernel: one disk over all of a target's portals.")
    ip: str = Field("127.0.0.1", description="The address from which this host reaches storage.")
    detach_seconds: float = Field(
        60.0, gt=0, description="How long a guest may take to let go of a disk.", json_schema_extra=LIVE
    )
    pause_seconds: float = Field(
        5.0,
        ge=1,
        le=60,
        description="How long a guest may stand still while a target that cannot grow in use grows its disk.",
        json_schema_extra=LIVE,
    )


class Scheduler(Section):
    """How pools are chosen."""

    default_filters: list[Literal[tuple(FILTERS.keys() - ALWAYS)]] = Field(  # type: ignore[valid-type]
        list(DEFAULT_FILTERS), description="Which pools may be chosen.", json_schema_extra=LIVE
    )
    default_weighers: list[Literal[tuple(WEIGHERS)]] = Field(  # type: ignore[valid-type]
        ["CapacityWeigher"], description="Which of them is the best.", json_schema_extra=LIVE
    )
    weight_handler: Literal[HANDLERS] = Field(  # type: ignore[valid-type]
        HANDLERS[0], description="The best, or one by chance, a better one more often.", json_schema_extra=LIVE
    )
    capacity_weight_multiplier: float = Field(
        1.0, description="Negative stacks instead of spreading.", json_schema_extra=LIVE
    )
    allocated_capacity_weight_multiplier: float = Field(
        -1.0, description="Negative prefers the pool with the least claimed.", json_schema_extra=LIVE
    )
    volume_number_multiplier: float = Field(
        -1.0, description="Negative prefers the pool with the fewest volumes.", json_schema_extra=LIVE
    )
    max_attempts: int = Field(3, ge=1, description="How many pools a create tries.", json_schema_extra=LIVE)


class Operations(Section):
    """Settings of the operation log."""

    workers: int = Field(32, ge=1, description="Operations carried at once at each place.")
    lease_seconds: float = Field(30.0, gt=0, description="How long a silent worker keeps what it holds.")
    silent_seconds: float = Field(
        600.0,
        gt=0,
        description="How long the making or copying of bytes may show no progress; then its pool is taken to "
        "hang, and the next one is tried.",
    )
    keep_days: float = Field(7.0, ge=0, description="How long ended operations can be looked at.")
    tries: int | None = Field(
        None,
        ge=1,
        description="How often a step that meets trouble is tried. Default: as each step says, 3 or 5.",
        json_schema_extra=LIVE,
    )
    first_backoff: float = Field(
        0.2,
        gt=0,
        description="Seconds until the second try, doubled for each after it.",
        json_schema_extra=LIVE,
    )
    longest_backoff: float = Field(
        30.0, gt=0, description="The most seconds between two tries.", json_schema_extra=LIVE
    )
    deadlines: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Seconds from a request to its explained end, by kind, as in {'volume.create' = 7200}; the "
        "verbs have defaults from half a minute to three hours.",
        json_schema_extra=LIVE,
    )


class RecycleBin(Section):
    """What is deleted may be kept for a while: ``docs/operating/recycle-bin.md``."""

    keep_days: float = Field(
        0.0,
        ge=0,
        le=MOST_DAYS,
        description="How long deleted volumes and snapshots can be had back, where neither their project nor "
        "their type says (pumice:recycle_days). 0: not at all.",
        json_schema_extra=LIVE,
    )
    counts_for_quota: bool = Field(
        False, description="Whether they count for quota meanwhile.", json_schema_extra=LIVE
    )
    low_space_percent: float = Field(
        10.0,
        ge=0,
        le=100,
        description="A pool that has no room for a volume of so much of its size loses what was deleted first, "
        "before its time. 0: never.",
    )
    notice_hours: float = Field(
        24.0, ge=0, description="How long its owner has to restore what would go before its time."
    )


class Metrics(Section):
    """What is counted, and who may ask for it: ``/metrics`` and ``/healthcheck``."""

    enabled: bool = Field(True, description="Count, and answer /metrics in Prometheus's format.")
    host: str = Field("127.0.0.1", description="Address of the ports below.")
    ports: dict[Role, int] = Field(
        default_factory=lambda: {Role.API: 8775, Role.SCHEDULER: 8777, Role.VOLUME: 8778, Role.COMPUTE: 8779},
        description="Ports for /metrics and /healthcheck by role; 'pumice serve' has the API's. A role that is "
        "not named has none. The API's own port tells tenants whether it is well, and nothing else.",
    )


class Repair(Section):
    """The loops of repair."""

    grace_seconds: float = Field(
        300.0, ge=0, description="How long something must have belonged to nobody until anything is done."
    )
    keep_unknown_days: float = Field(
        14.0,
        ge=0,
        description="Bytes of which nothing is known are put aside, and given up after so many days. 0: never.",
    )
    abandoned_seconds: float = Field(
        3600.0,
        gt=0,
        description="How long a client may leave a volume reserved, attaching or detaching between two of its "
        "calls; then it is taken to have gone.",
    )


class Webhooks(Section):
    """Messages to the servers of tenants."""

    per_project: int = Field(
        10, ge=0, description="Webhooks that a project may have; 0: none.", json_schema_extra=LIVE
    )
    allow_networks: list[IPvAnyNetwork] = Field(
        [],
        description="Networks that may be posted to although they are not public: ['10.20.0.0/16'].",
    )
    deny_networks: list[IPvAnyNetwork] = Field(
        [],
        description="Networks that are not posted to although they are public: those of the cloud's own APIs.",
    )
    answer_seconds: float = Field(10.0, gt=0, le=30, description="How long a server may take to answer.")
    cacert: GivenPath | None = Field(
        None, description="An authority of your own that is trusted beside the system's (PEM)."
    )

    def outbound(self) -> Outbound:
        """What posts them."""
        return Outbound(self.allow_networks, self.deny_networks, self.answer_seconds, self.cacert)


class Notifications(Section):
    """Messages to a broker, in the words of Cinder's notifications."""

    transport_url: str | None = Field(
        None, description="The broker, as oslo.messaging names it: rabbit://USER:PASSWORD@HOST:5672/."
    )
    topics: list[str] = Field(
        ["notifications"], min_length=1, description="Each has a queue for each priority: notifications.info."
    )
    exchange: str = Field("cinder", description="The exchange in which they are; Cinder's has this name.")

    def broker(self) -> Broker | None:
        """What hands them over, if there is a broker."""
        return Broker(self.transport_url, self.topics, self.exchange) if self.transport_url else None


@dataclass(frozen=True, slots=True)
class Given:
    """What settings were read from."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    """The file that was there."""
    in_file: Mapping[str, Any] = field(default_factory=dict)


class Settings(BaseSettings):
    """Every setting."""

    model_config = SettingsConfigDict(env_prefix="PUMICE_", env_nested_delimiter="__", extra="forbid")

    host: PlaceName = Field(
        default_factory=socket.gethostname,
        validate_default=True,
        description="This host's name among the others; not with any of '@#:/ ', which stand between names.",
    )
    state_dir: GivenPath = Field(Path("/var/lib/pumice"), description="Where everything is kept.")
    database_url: str | None = Field(None, description="Default: sqlite:///STATE_DIR/pumice.db")
    reserve_mib: int = Field(
        64,
        ge=0,
        description="MiB put by on the state directory's disk, at most a tenth of it: when it is full they are "
        "for what frees space, and nothing new is made. 0 puts nothing by.",
    )
    availability_zone: str = Field("nova", description="The zone of whatever names none.")
    default_volume_type: str = Field("__DEFAULT__", description="The type of a volume that names none.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important thing that is logged.", json_schema_extra=LIVE
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto: text on a terminal, else JSON."
    )
    log_file: GivenPath | None = Field(
        None, description="Where the log goes, opened anew at SIGHUP; default: standard error."
    )
    policy_file: GivenPath | None = Field(
        None, description="oslo.policy rules that replace the defaults.", json_schema_extra=LIVE
    )
    fault: str | None = Field(
        None, description="For tests: die at a step, as in 'volume.create/do/make_bytes/before'."
    )
    quotas: dict[str, int] = Field(
        default_factory=lambda: dict(_DEFAULT_QUOTAS), description="Default limits.", json_schema_extra=LIVE
    )
    api: Api = Field(default_factory=Api)
    identity: Identity = Field(default_factory=Identity)
    backends: dict[PlaceName, AnyBackend] = Field(default_factory=_one_backend)
    backup: BackupSettings = Field(default_factory=BackupSettings)
    tgt: TgtSettings = Field(default_factory=TgtSettings)
    lio: LioSettings = Field(default_factory=LioSettings)
    nvmet: NvmetSettings = Field(default_factory=NvmetSettings)
    shared: SharedSettings = Field(default_factory=SharedSettings)
    targets: Targets = Field(default_factory=Targets)
    compute: Compute = Field(default_factory=Compute)
    scheduler: Scheduler = Field(default_factory=Scheduler)
    operations: Operations = Field(default_factory=Operations)
    recycle_bin: RecycleBin = Field(default_factory=RecycleBin)
    repair: Repair = Field(default_factory=Repair)
    metrics: Metrics = Field(default_factory=Metrics)
    http: Http = Field(default_factory=Http)
    images: Images = Field(default_factory=Images)
    webhooks: Webhooks = Field(default_factory=Webhooks)
    notifications: Notifications = Field(default_factory=Notifications)
    image_cache: ImageCache = Field(default_factory=ImageCache)
    _given: Given = PrivateAttr(default_factory=Given)
    """What these were read from."""

    @property
    def sources(self) -> Mapping[str, Mapping[str, Any]]:
        """What was given, when these were read, by whom: ``flag``, ``environment``, the file's path."""
        given = self._given
        in_file = {} if given.path is None else {str(given.path): given.in_file}
        return {"flag": given.flags, "environment": given.environment, **in_file}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := config_file():
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=path),)
        return sources

    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.state_dir.absolute() / 'pumice.db'}"

    def place(self, backend: str) -> str:
        """``host@backend``, or ``CLUSTER@backend`` where several hosts serve it."""
        return f"{self.backends[backend].cluster or self.host}@{backend}"

    def lock_of(self, host: str) -> Path:
        """The file that the one process of a host keeps locked."""
        return self.state_dir / f"{host}.lock"

    def target(self, driver: str) -> TargetSettings:
        """The settings of a target driver."""
        chosen = getattr(self, driver, None) or getattr(self.targets, driver, None)
        return chosen if isinstance(chosen, TargetSettings) else TARGETS.find(driver)()

    def tunables(self) -> Tunables:
        """The settings that the rooms below need."""
        return Tunables(
            availability_zone=self.availability_zone,
            default_volume_type=self.default_volume_type,
            quotas=_DEFAULT_QUOTAS | self.quotas,
            filters=tuple(self.scheduler.default_filters),
            weighers=tuple(self.scheduler.default_weighers),
            weight_handler=self.scheduler.weight_handler,
            capacity_weight_multiplier=self.scheduler.capacity_weight_multiplier,
            allocated_capacity_weight_multiplier=self.scheduler.allocated_capacity_weight_multiplier,
            volume_number_multiplier=self.scheduler.volume_number_multiplier,
            scheduler_max_attempts=self.scheduler.max_attempts,
            api_max_limit=self.api.max_limit,
            api_max_query_terms=self.api.max_query_terms,
            api_max_metadata=self.api.max_metadata,
            abandoned_seconds=self.repair.abandoned_seconds,
            api_wait_seconds=self.api.wait_seconds,
            api_longest_wait=self.api.longest_wait,
            api_most_waiting=self.api.most_waiting,
            api_project_waiting=self.api.project_waiting,
            service_token_roles=frozenset(self.identity.service_token_roles),
            catalog_aliases=self.identity.catalog_aliases,
            webhooks_per_project=self.webhooks.per_project,
            recycle_days=self.recycle_bin.keep_days,
            recycle_counts=self.recycle_bin.counts_for_quota,
            image_cache=self.image_cache.enabled,
            image_cache_gigabytes=self.image_cache.max_gigabytes,
            image_cache_images=self.image_cache.max_images,
            retry_policy=RetryPolicy(
                self.operations.first_backoff, self.operations.longest_backoff, self.operations.tries
            ),
        )


def config_file() -> Path | None:
    """The settings file in use, if there is one."""
    if named := os.environ.get("PUMICE_CONFIG"):
        return Path(named)
    return next(
        (path for path in (Path("pumice.toml"), Path("/etc/pumice/pumice.toml")) if path.is_file()), None
    )


def read_environment(file: Path = Path("/etc/pumice/environment")) -> None:
    """Have the services' variables, below those of this process, where the settings are theirs too.

    The database's URL is among them: a command that lacked it would look into another database.
    """
    if config_file() in (None, file.with_name("pumice.toml")) and file.is_file():
        for name, value in dotenv_values(file, interpolate=False).items():
            if value is not None:
                os.environ.setdefault(name, value)


def load(**flags: Any) -> Settings:
    """The settings in force. Flags that are None were not given. Raises ``Misconfigured``."""
    given = {name: value for name, value in flags.items() if value is not None}
    path = config_file()
    if path is not None and not path.is_file():
        raise Misconfigured(f"There is no settings file {path}, which PUMICE_CONFIG names.")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise Misconfigured(_senseless(error)) from None
    except (tomllib.TOMLDecodeError, UnicodeError, OSError, SettingsError) as error:
        raise Misconfigured(f"The settings file {path} cannot be read: {error}.") from None
    if wrong := [
        *wrong_variables(Settings, os.environ),
        *wrong_resources(settings.quotas, _DEFAULT_QUOTAS, TYPED),
    ]:
        raise Misconfigured(" ".join(wrong))
    in_file = {} if path is None else TomlConfigSettingsSource(Settings, toml_file=path)()
    settings._given = Given(given, EnvSettingsSource(Settings)(), path, in_file)
    return settings


def _senseless(error: ValidationError) -> str:
    """What is wrong with the settings: unknown names first, as the rest may follow from them."""
    wrong = error.errors()
    if unknown := [one for one in wrong if one["type"] in ("extra_forbidden", "union_tag_invalid")]:
        return " ".join(map(_unknown, unknown))
    return f"The settings do not make sense: {'; '.join(map(_sentence, wrong))}."


def _unknown(one: ErrorDetails) -> str:
    match one["loc"]:
        case ("backends", name):
            try:
                BACKENDS.find(_driver(one["input"]))
            except Misconfigured as error:
                return f"[backends.{name}]: {error}"
        case ("backends", name, driver, key):
            return wrong_of_driver(BACKENDS.every, f"backends.{name}", str(driver), str(key))
    return wrong_name(Settings, one["loc"])


def _sentence(one: ErrorDetails) -> str:
    match tuple(part for part in one["loc"] if part != "[key]"):
        case ("backends", name, driver, key) if one["type"] == "missing":
            meaning = BACKENDS.every[str(driver)].model_fields[str(key)].description
            return f"[backends.{name}] needs a '{key}' ({meaning})"
        case ("backends", name, _, *rest):
            path: tuple[object, ...] = ("backends", name, *rest)
        case path:
            pass
    return f"{'.'.join(map(str, path)) or 'settings'}: {_why(one)}"


def _why(one: ErrorDetails) -> str:
    """What is wrong with a value; what a check of ours says is told in its own words."""
    return one["msg"].removeprefix("Value error, ")


def again(settings: Settings) -> Settings:
    """Read the settings again. Raises ``Misconfigured``, also when their file is gone."""
    given = settings._given
    if given.path is not None and not given.path.is_file():
        raise Misconfigured(f"The settings file {given.path} is not there any more.")
    return load(**given.flags)


def as_variables(settings: Settings) -> dict[str, str]:
    """What makes a command read these settings: the flags as variables, and the file."""
    given = settings._given
    named = {} if given.path is None else {"PUMICE_CONFIG": str(given.path)}
    return named | dict(_variables(given.flags, "PUMICE_"))


def _variables(given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _variables(value, f"{prefix}{name}__".upper())
        else:
            yield f"{prefix}{name}".upper(), str(value)


def is_live(field: FieldInfo) -> bool:
    """Whether SIGHUP changes this setting."""
    return field.json_schema_extra == LIVE
