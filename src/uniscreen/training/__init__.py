"""What makes a potential right for a system: reference calculations, checked data, splits."""
