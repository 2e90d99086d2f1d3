"""Tables from files and into files, and rows as the command prints them."""
