"""The local stack: real servers as plain processes on loopback ports, without Docker."""
