"""What is secret in an answer, a log line or a setting, and how it is erased."""
