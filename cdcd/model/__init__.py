"""The words of the domain: tables, types, changes, positions, failures. Standard library only."""
