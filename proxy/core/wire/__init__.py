"""What processes of the proxy say to each other, and how it is framed."""
