"""The groups of the command, one module each. Imports of a group's dependencies stand inside its functions."""
