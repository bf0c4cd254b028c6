"""Settings of topics and groups changed as an operator does, with Kafka's own words; seen by the broker on return."""

from collections.abc import Mapping

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.support.eventually import eventually

ANSWERED_WITHIN_S = 60.0


def alter_topic(bootstrap: str, name: str, settings: Mapping[str, str]) -> None:
    """Of one topic."""
    _alter(bootstrap, ResourceType.TOPIC, name, settings)


def alter_group(bootstrap: str, name: str, settings: Mapping[str, str]) -> None:
    """Of one group, whether it has members or not."""
    _alter(bootstrap, ResourceType.GROUP, name, settings)


def _alter(bootstrap: str, kind: ResourceType, name: str, settings: Mapping[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    resource = ConfigResource(kind, name)
    for setting, value in settings.items():
        resource.add_incremental_config(ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET))
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(ANSWERED_WITHIN_S)
    # the controller has it, the broker soon
    eventually(lambda: settings.items() <= _settings(admin, kind, name).items(), f"{name} has {settings}")


def _settings(admin: AdminClient, kind: ResourceType, name: str) -> dict[str, str]:
    [described] = admin.describe_configs([ConfigResource(kind, name)]).values()
    return {setting: str(entry.value) for setting, entry in described.result(ANSWERED_WITHIN_S).items()}
