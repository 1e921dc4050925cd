import pytest
import redis

from quantum_trader.redis_clients import redis_client
from rl_training.streams.consumer import BLOCK_MILLISECONDS, Consumer

STREAMS = ["rl_v3.training.started", "rl_v3.training.completed"]
STARTED, COMPLETED = STREAMS


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch) -> None:
    monkeypatch.setattr("rl_training.streams.consumer.BLOCK_MILLISECONDS", 1)


def put(client: "redis.Redis", stream: str, name: str, entry_id: str = "*") -> None:
    client.xadd(stream, {"event_id": name}, id=entry_id)


def received_by(consumer: Consumer, *, acknowledging: bool = True) -> list[str]:
    """Return the names of the entries that the consumer receives next."""
    names = []
    for stream, entry_id, fields in consumer.read(STREAMS):
        names.append(fields["event_id"])
        if acknowledging:
            consumer.acknowledge(stream, entry_id)
    return names


def pending(client: "redis.Redis", stream: str = STARTED) -> int:
    return len(client.xpending_range(stream, "audit", "-", "+", 100))


def test_new_group_reads_from_the_start_in_the_order_of_the_entries(streams):
    put(streams, STARTED, "a", "1-0")
    put(streams, COMPLETED, "b", "2-0")
    put(streams, STARTED, "c", "10-0")
    consumer = Consumer("audit", "one")
    assert [received_by(consumer), received_by(consumer)] == [["a", "b", "c"], []]
    assert pending(streams) == 0


def test_each_entry_goes_to_one_consumer_of_every_group(streams):
    one, two, other = Consumer("audit", "one"), Consumer("audit", "two"), Consumer("mail", "one")
    put(streams, STARTED, "a")
    assert [received_by(one), received_by(two), received_by(other)] == [["a"], [], ["a"]]


def test_only_pending_entries_of_a_dead_consumer_are_claimed(streams):
    put(streams, STARTED, "a")
    put(streams, STARTED, "b")
    dead = Consumer("audit", "dead")
    [stream, entry_id, _], *_ = dead.read(STREAMS)
    dead.acknowledge(stream, entry_id)
    assert received_by(Consumer("audit", "patient", claim_after=60)) == []
    assert received_by(Consumer("audit", "other", claim_after=0)) == ["b"]
    assert pending(streams) == 0


def test_restarted_consumer_receives_its_pending_entries_at_once(streams):
    put(streams, STARTED, "a")
    assert received_by(Consumer("audit", "one"), acknowledging=False) == ["a"]
    put(streams, STARTED, "b")
    again = Consumer("audit", "one")
    assert [received_by(again), received_by(again)] == [["a"], ["b"]]


def test_pending_entry_that_was_deleted_is_acknowledged(streams):
    put(streams, STARTED, "a")
    received_by(Consumer("audit", "dead"), acknowledging=False)
    streams.xtrim(STARTED, maxlen=0, approximate=False)
    assert received_by(Consumer("audit", "other", claim_after=0)) == []
    assert pending(streams) == 0


def test_group_that_redis_lost_is_created_again_from_the_start(streams):
    consumer = Consumer("audit", "one")
    put(streams, STARTED, "a")
    assert received_by(consumer) == ["a"]
    streams.flushall()
    put(streams, STARTED, "b")
    assert [received_by(consumer), received_by(consumer)] == [[], ["b"]]


def test_reading_no_streams_yields_nothing(streams):
    assert list(Consumer("audit", "one").read([])) == []


def test_other_errors_of_redis_are_raised(streams):
    streams.set(STARTED, "not a stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        received_by(Consumer("audit", "one"))


def test_read_waits_for_less_than_the_timeout_of_the_connection():
    assert redis_client().get_connection_kwargs()["socket_timeout"] == 5
    assert BLOCK_MILLISECONDS < 5000
