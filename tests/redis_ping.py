"""`python -m tests.redis_ping PORT ping`: what `redis-cli -p PORT ping` does, for machines without that program."""

import os
import sys

import redis

if __name__ == "__main__":
    try:
        redis.Redis(port=int(sys.argv[1]), password=os.environ.get("REDISCLI_AUTH"), socket_timeout=5).ping()
    except redis.RedisError as error:
        sys.exit(str(error))
