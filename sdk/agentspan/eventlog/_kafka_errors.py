"""What the brokers and librdkafka answer, in this package's errors.

LogError
├── ClusterUnreachable    no broker answered in time
├── AccessDenied          the cluster does not let this process in, or not to this topic
├── LogMismatch           a topic is not the one that was opened
│   └── TopicMissing      it is not there
├── BeyondEnd             the partition does not reach this offset (any more)
└── WriteError
    ├── FateUnknown       all that can happen on the way: time-outs, lost leaders, a producer's end
    └── WriteRefused      a broker or the client refused the write; nothing of it stands
"""

from confluent_kafka import KafkaError, KafkaException

from agentspan.eventlog._errors import BeyondEnd, FateUnknown, LogError, LogMismatch, WriteError


class ClusterUnreachable(LogError):
    """No broker answered in time."""


class AccessDenied(LogError):
    """The cluster does not know this process, or does not allow what it does."""


class WriteRefused(WriteError):
    """The write was refused for what it is; nothing of it stands."""


class TopicMissing(LogMismatch):
    """A topic is not there."""

    def __init__(self, topic: str, said: str) -> None:
        super().__init__(f"{topic!r} is not there ({said}): make it with `agentspan topics create`")
        self.what = f"{topic!r} is not there ({said})"
        """Without the advice, for who can name the cluster in it."""


class OffsetGone(LogError):
    """The partition begins above this offset: what stood there is no longer kept."""


_DENIED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SECURITY_DISABLED,
}
_NO_LOGIN = {
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._AUTHENTICATION,
}
SETTING = "AGENTSPAN_KAFKA_SECURITY"
"""Where a server's operator says how to get in; other programs give the same as `security`."""
_NO_TOPIC = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.INCONSISTENT_TOPIC_ID,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
}
_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    KafkaError.POLICY_VIOLATION,
    KafkaError._INVALID_ARG,
}
_OUT_OF_RANGE = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION}


def kafka_error(error: BaseException) -> KafkaError:
    """The error in a KafkaException."""
    found = error.args[0] if isinstance(error, KafkaException) and error.args else None
    return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def with_advice(error: KafkaError) -> str:
    """What librdkafka says, and which setting to look at where it is one."""
    text = error.str()
    if error.code() in _NO_LOGIN:
        return f"{text}; look at sasl.mechanism and at the user or token of it in {SETTING}"
    if error.code() == KafkaError._SSL:
        return f"{text}; look at ssl.ca.location and at the client's certificate in {SETTING}"
    # the broker hung up, or answered with something that is no Kafka: one side speaks TLS or SASL, the other doesn't
    if any(sign in text for sign in ("security.protocol", "ApiVersion", "PLAINTEXT broker")):
        return f"{text}; look at security.protocol in {SETTING}"
    return text


def not_let_in(error: KafkaError) -> AccessDenied | None:
    """Where authentication or TLS failed: neither gets better by waiting."""
    if error.code() in _NO_LOGIN:
        return AccessDenied(f"authentication failed: {with_advice(error)}")
    if error.code() == KafkaError._SSL:
        return AccessDenied(f"no TLS with the cluster: {with_advice(error)}")
    return None


def write_error(error: KafkaError, topic: str) -> WriteError:
    """What became of a write that was not acknowledged."""
    code = error.code()
    if (denied := not_let_in(error)) is not None:
        return WriteRefused(f"a write to {topic!r}: {denied}")
    if code in _DENIED:
        return WriteRefused(f"no right to write to {topic!r} ({error.str()}): see `agentspan topics acls`")
    if code in _NO_TOPIC:
        return WriteRefused(f"{topic!r} is not there ({error.str()}): make it with `agentspan topics create`")
    if code in _REFUSED:
        return WriteRefused(f"a record for {topic!r} was refused: {error.str()}")
    return FateUnknown(f"a write to {topic!r} was not acknowledged ({error.name()}: {error.str()}); read what stands")


def group_error(error: Exception, topic: str) -> LogError:
    """What ends a membership in a consumer group on the topic."""
    found = kafka_error(error)
    named = read_error(found, topic) or LogError(f"the group does not have this process: {found.name()}: {found.str()}")
    named.__cause__ = error
    return named


def read_error(error: KafkaError, topic: str) -> LogError | None:
    """What stops reading; None for what librdkafka goes on from by itself."""
    code = error.code()
    if (denied := not_let_in(error)) is not None:
        return denied
    if code in _DENIED:
        return AccessDenied(f"no right to read {topic!r} ({error.str()}): see `agentspan topics acls`")
    if code in _NO_TOPIC:
        return TopicMissing(topic, error.str())
    if code in _OUT_OF_RANGE:
        return BeyondEnd(f"{topic!r} was cut short or made anew ({error.str()}): drop what was derived from it")
    return None
