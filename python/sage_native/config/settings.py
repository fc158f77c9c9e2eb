"""All settings, as they are once every layer is read and checked.

`sage_native.config.load_settings` makes them. They hold no secret: keys that end in ``_secret``
hold the name of one. Durations are whole seconds and sizes are bytes, however they were written.
"""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from sage_native.config.listening import (
    AdminSettings,
    CorsSettings,
    LimitsSettings,
    RateSettings,
    ServerSettings,
    TlsSettings,
)
from sage_native.config.operating import (
    BehindSettings,
    FeatureSettings,
    LoggingSettings,
    MetricsSettings,
    SecretsSettings,
    TracingSettings,
)
from sage_native.config.peers import (
    AdmissionSettings,
    EncryptionSettings,
    HandshakeSettings,
    IdentitySettings,
    ReplaySettings,
    SessionSettings,
    StorageSettings,
)
from sage_native.config.section import Section

__all__ = [
    "PROFILES",
    "AdminSettings",
    "AdmissionSettings",
    "BehindSettings",
    "CorsSettings",
    "EncryptionSettings",
    "FeatureSettings",
    "HandshakeSettings",
    "IdentitySettings",
    "LimitsSettings",
    "LoggingSettings",
    "MetricsSettings",
    "RateSettings",
    "ReplaySettings",
    "SecretsSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "StorageSettings",
    "TlsSettings",
    "TracingSettings",
]

PROFILES: Final = ("local", "dev", "staging", "production")


class Settings(Section):
    """Every setting of a gateway."""

    profile: Literal["local", "dev", "staging", "production"] = Field(
        description="What the rest starts from; chosen by --profile or SAGE_ENV only."
    )
    state_dir: Path = Field(
        description="Directory of what the workers share, mode 0700. Left out: "
        "$XDG_STATE_HOME/sage-native/<profile>; production must name it."
    )
    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    identity: IdentitySettings = IdentitySettings()
    encryption: EncryptionSettings = EncryptionSettings()
    admission: AdmissionSettings = AdmissionSettings()
    handshake: HandshakeSettings = HandshakeSettings()
    session: SessionSettings = SessionSettings()
    storage: StorageSettings
    replay: ReplaySettings = ReplaySettings()
    behind: BehindSettings = BehindSettings()
    limits: LimitsSettings = LimitsSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
    metrics: MetricsSettings = MetricsSettings()
    cors: CorsSettings = CorsSettings()
    secrets: SecretsSettings = SecretsSettings()
    features: FeatureSettings = FeatureSettings()
