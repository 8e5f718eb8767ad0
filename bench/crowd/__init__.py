"""Users by the thousand, each with a kept-alive connection and time to think: load for other benches."""
