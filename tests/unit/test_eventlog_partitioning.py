"""Which partition a key belongs to, by the vectors of Apache Kafka's own UtilsTest."""

import pytest

from agentspan.eventlog import partition_for
from agentspan.eventlog._murmur2 import murmur2


@pytest.mark.parametrize(
    ("data", "signed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_hash_is_kafkas(data: str, signed: int) -> None:
    assert murmur2(data.encode()) == signed & 0xFFFFFFFF


def test_a_key_belongs_to_the_partition_of_its_positive_hash() -> None:
    assert [partition_for(key, 12) for key in ("21", "foobar", "abc")] == [
        (hash_ & 0x7FFFFFFF) % 12 for hash_ in (-973932308, -790332482, 479470107)
    ]
