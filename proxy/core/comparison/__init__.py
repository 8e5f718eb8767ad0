"""How two backends' answers differ, and which differences count."""
