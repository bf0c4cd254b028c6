"""Which partition a key belongs to: as Kafka's default partitioner says, on every log, so that an execution keeps its
number wherever it is written."""

from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The 32-bit murmur2 hash with Kafka's seed, unsigned (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=10_000)
def partition_for(key: str, partitions: int) -> int:
    """The partition of a key. Kept for the last ones: an execution is asked for some thirty times."""
    return 0 if partitions == 1 else (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
