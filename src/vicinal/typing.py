"""The names of types that signatures use."""
