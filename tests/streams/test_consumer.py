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


def handed_to(consumer: Consumer, *, acknowledging: bool = True) -> list[str]:
    """The names of the entries that it is handed next."""
    names = []
    for stream, entry_id, fields in consumer.read(STREAMS):
        names.append(fields["event_id"])
        if acknowledging:
            consumer.acknowledge(stream, entry_id)
    return names


def pending(client: "redis.Redis", stream: str = STARTED) -> int:
    return client.xpending(stream, "audit")["pending"]


def test_a_new_group_starts_at_the_start_and_in_the_order_of_the_entries(streams):
    put(streams, STARTED, "a", "1-0")
    put(streams, COMPLETED, "b", "2-0")
    put(streams, STARTED, "c", "10-0")
    consumer = Consumer("audit", "one")
    assert [handed_to(consumer), handed_to(consumer)] == [["a", "b", "c"], []]
    assert pending(streams) == 0


def test_each_entry_goes_to_one_consumer_of_a_group_and_to_every_group(streams):
    one, two, other = Consumer("audit", "one"), Consumer("audit", "two"), Consumer("mail", "one")
    put(streams, STARTED, "a")
    assert [handed_to(one), handed_to(two), handed_to(other)] == [["a"], [], ["a"]]


def test_what_a_dead_consumer_left_is_claimed_and_only_that(streams):
    put(streams, STARTED, "a")
    put(streams, STARTED, "b")
    dead = Consumer("audit", "dead")
    [stream, entry_id, _], *_ = dead.read(STREAMS)
    dead.acknowledge(stream, entry_id)
    assert handed_to(Consumer("audit", "patient", claim_after=60)) == []
    assert handed_to(Consumer("audit", "other", claim_after=0)) == ["b"]
    assert pending(streams) == 0


def test_a_consumer_that_is_started_again_takes_up_its_own_at_once(streams):
    put(streams, STARTED, "a")
    assert handed_to(Consumer("audit", "one"), acknowledging=False) == ["a"]
    put(streams, STARTED, "b")
    again = Consumer("audit", "one")
    assert [handed_to(again), handed_to(again)] == [["a"], ["b"]]


def test_an_entry_that_was_deleted_before_it_was_handled_is_forgotten(streams):
    put(streams, STARTED, "a")
    handed_to(Consumer("audit", "dead"), acknowledging=False)
    streams.xtrim(STARTED, maxlen=0, approximate=False)
    assert handed_to(Consumer("audit", "other", claim_after=0)) == []
    assert pending(streams) == 0


def test_a_group_that_redis_lost_is_made_anew_from_the_start(streams):
    consumer = Consumer("audit", "one")
    put(streams, STARTED, "a")
    assert handed_to(consumer) == ["a"]
    streams.flushall()
    put(streams, STARTED, "b")
    assert [handed_to(consumer), handed_to(consumer)] == [[], ["b"]]


def test_without_streams_there_is_nothing_to_read(streams):
    assert list(Consumer("audit", "one").read([])) == []


def test_another_refusal_of_redis_is_an_error(streams):
    streams.set(STARTED, "not a stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        handed_to(Consumer("audit", "one"))


def test_a_wait_for_news_is_shorter_than_the_time_out_of_the_connection():
    assert redis_client().get_connection_kwargs()["socket_timeout"] == 5
    assert BLOCK_MILLISECONDS < 5000
