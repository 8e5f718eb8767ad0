"""How two backends' answers differ, and what of it counts."""
