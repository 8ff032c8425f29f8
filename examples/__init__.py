"""Programs to read and run; an installed fastopt holds them as `fastopt.examples`."""
