"""What moves atoms: batched relaxation of positions and cells, in flight."""
