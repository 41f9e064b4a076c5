"""Values that cross the wall: the same rules on both sides of it."""

from capsule._values import NotExact, decode, encode, is_json, is_whole

__all__ = ["NotExact", "decode", "encode", "is_json", "is_whole"]
