"""
Features by entity, from Redis or Valkey, in microseconds: a library that knows neither gateway nor models.
"""
